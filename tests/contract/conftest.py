"""The whole system behind its gateway, for what is said about it in the contract."""

import pytest

from tests.whole_system import system

__all__ = ["system"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record-examples",
        action="store_true",
        help="write examples of operations that have none that holds to openapi/examples",
    )
