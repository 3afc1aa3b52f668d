"""queries."""

__all__ = []
