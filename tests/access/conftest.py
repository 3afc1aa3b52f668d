"""The whole system, once for all tests of access; each test has participants of its own."""

from tests.whole_system import issuer_key, issuer_key_set, system

__all__ = ["issuer_key", "issuer_key_set", "system"]
