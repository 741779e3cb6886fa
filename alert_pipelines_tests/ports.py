"""Ports for the servers that tests start."""

import secrets
import socket
from contextlib import suppress

# Below those that the kernel gives to connections: a server takes seconds until it listens, and until then any
# connection of any process might get one of them.
_PORTS = range(20_000, 32_000)


def free_port() -> int:
    """A port of loopback on which nobody listens."""
    while True:
        port = secrets.choice(_PORTS)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
