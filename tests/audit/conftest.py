"""The whole system, once for all tests of the audit; each test has participants of its own."""

from tests.whole_system import system

__all__ = ["system"]
