"""Who calls: tokens and the keys of their issuers, and the roles that there are."""

from services.kernel.identity.access import (
    ROLES,
    AmbiguousCredentials,
    Caller,
    NotPermitted,
    Role,
    TokenVerifier,
    Unauthenticated,
    require_study,
)

__all__ = [
    "ROLES",
    "AmbiguousCredentials",
    "Caller",
    "NotPermitted",
    "Role",
    "TokenVerifier",
    "Unauthenticated",
    "require_study",
]
