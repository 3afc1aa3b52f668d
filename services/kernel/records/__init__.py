"""What a decision sees and what it returns: records, their changes, and the events these become.

Pure: every `domain/` may import it. The shapes of bodies and answers that all kinds of record
share are here as well.
"""

from services.kernel.records.bodies import (
    ClosedBody,
    DocumentedAs,
    Page,
    RecordBody,
    RetractionBody,
    SettledQueries,
    StoredView,
    Warned,
    Written,
)
from services.kernel.records.changes import (
    Change,
    Decision,
    Recorded,
    Resource,
    Stored,
)
from services.kernel.records.events import (
    GENESIS,
    Attribution,
    event_hash,
    event_header,
    record_document,
)
from services.kernel.records.queries import (
    Asker,
)
from services.kernel.records.standing import (
    ChangeReasonRequired,
    RecordRetracted,
    SourceAlreadyUsed,
    Standing,
    correction,
    is_same,
    next_version,
    own_members,
    refuse_used_source,
    require_reason,
    require_version,
    retraction,
    unchanged,
)

__all__ = [
    "GENESIS",
    "Asker",
    "Attribution",
    "Change",
    "ChangeReasonRequired",
    "ClosedBody",
    "Decision",
    "DocumentedAs",
    "Page",
    "RecordBody",
    "RecordRetracted",
    "Recorded",
    "Resource",
    "RetractionBody",
    "SettledQueries",
    "SourceAlreadyUsed",
    "Standing",
    "Stored",
    "StoredView",
    "Warned",
    "Written",
    "correction",
    "event_hash",
    "event_header",
    "is_same",
    "next_version",
    "own_members",
    "record_document",
    "refuse_used_source",
    "require_reason",
    "require_version",
    "retraction",
    "unchanged",
]
