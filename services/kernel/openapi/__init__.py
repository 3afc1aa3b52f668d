"""The OpenAPI document: what the framework writes, finished by our rules."""

from services.kernel.openapi.components import (
    JSON,
    SCHEMA_REFERENCE,
)
from services.kernel.openapi.document import (
    described,
    document,
)

__all__ = [
    "JSON",
    "SCHEMA_REFERENCE",
    "described",
    "document",
]
