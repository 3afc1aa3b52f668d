"""The one way a write goes: load, decide, append, and only then answer.

A route hands its command to `submit`, with what loads for it and what decides.
"""

from services.kernel.writing.appending import (
    Columns,
)
from services.kernel.writing.bulk import (
    ROWS_A_TRANSACTION,
    Batch,
    BulkWriter,
)
from services.kernel.writing.lanes import (
    Writer,
)
from services.kernel.writing.submitting import (
    answer_response,
    asker_of,
    new_id,
    submit,
)
from services.kernel.writing.units import (
    Answer,
    Outcome,
    answer_record,
)

__all__ = [
    "ROWS_A_TRANSACTION",
    "Answer",
    "Batch",
    "BulkWriter",
    "Columns",
    "Outcome",
    "Writer",
    "answer_record",
    "answer_response",
    "asker_of",
    "new_id",
    "submit",
]
