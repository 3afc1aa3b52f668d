"""Ports on the loopback address."""

import random
import socket
from typing import Final

LOOPBACK: Final = "127.0.0.1"
_BELOW_EPHEMERAL: Final = range(20_000, 32_000)
"""The system lends higher ports to outgoing connections: one of these might take our port
while its process is being started again."""


def is_free(port: int) -> bool:
    """Tell whether a process could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen()
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a port nobody listens on, another one at each call as a rule."""
    while True:
        port = random.choice(_BELOW_EPHEMERAL)  # noqa: S311 - no secret
        if is_free(port):
            return port
