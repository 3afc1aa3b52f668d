"""The database of one service: its connections, and the tables that every service has."""

from services.kernel.storage.database import (
    LOST,
    Connection,
    Database,
    Line,
)
from services.kernel.storage.tables import (
    FEED_CHANNEL,
    KERNEL_TABLES,
    MARK_UPDATED_IN_PLACE,
    STUDY_STREAM,
    UPDATED_IN_PLACE,
    WARNED,
    VersionRow,
)

__all__ = [
    "FEED_CHANNEL",
    "KERNEL_TABLES",
    "LOST",
    "MARK_UPDATED_IN_PLACE",
    "STUDY_STREAM",
    "UPDATED_IN_PLACE",
    "WARNED",
    "Connection",
    "Database",
    "Line",
    "VersionRow",
]
