"""The whole system, once for all tests of access; each test has participants of its own."""

from tests.whole_system import system

__all__ = ["system"]
