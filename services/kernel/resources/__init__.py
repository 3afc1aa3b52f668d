"""Stored records as they stand and stood, and the operations by which each kind is read."""

from services.kernel.resources.reading import (
    add_reads,
    versions_response,
)
from services.kernel.resources.stored import (
    AsOf,
    InTheFuture,
    files_of_participants,
    list_page,
    past_moment,
    read_record,
    read_versions,
    standing_records,
)

__all__ = [
    "AsOf",
    "InTheFuture",
    "add_reads",
    "files_of_participants",
    "list_page",
    "past_moment",
    "read_record",
    "read_versions",
    "standing_records",
    "versions_response",
]
