"""The whole system behind its gateway, for clients that were made from its contract."""

from tests.whole_system import system

__all__ = ["system"]
