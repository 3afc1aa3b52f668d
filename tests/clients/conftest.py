"""The whole system behind its gateway, for clients that were made from its contract."""

from tests.whole_system import issuer_key, issuer_key_set, system

__all__ = ["issuer_key", "issuer_key_set", "system"]
