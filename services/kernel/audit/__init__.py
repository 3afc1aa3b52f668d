"""audit."""

from services.kernel.audit.read_log import (
    ReadFilter,
    ReadLog,
)
from services.kernel.audit.trail import (
    AuditFilter,
)

__all__ = [
    "AuditFilter",
    "ReadFilter",
    "ReadLog",
]
