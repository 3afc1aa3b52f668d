"""The proof: chains of events, the trail of who did what, and who was shown personal data."""

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
