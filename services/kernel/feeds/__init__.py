"""Events between services: a service's own feed, and the facts it keeps of the others' feeds."""

from services.kernel.feeds.facts import (
    Documents,
    KnownParticipant,
    find_participant,
    load_facts,
)
from services.kernel.feeds.feed import (
    FeedNews,
    read_feed,
)
from services.kernel.feeds.following import (
    Behind,
    Followers,
    Source,
)
from services.kernel.feeds.participants import (
    FACTS_HEADER,
    known_id,
    known_participant,
    participant_id,
)

__all__ = [
    "FACTS_HEADER",
    "Behind",
    "Documents",
    "FeedNews",
    "Followers",
    "KnownParticipant",
    "Source",
    "find_participant",
    "known_id",
    "known_participant",
    "load_facts",
    "participant_id",
    "read_feed",
]
