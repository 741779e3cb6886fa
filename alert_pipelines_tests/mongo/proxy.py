"""A way to a server that a test makes slow or dead, while the server itself knows nothing of it."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_CHUNK = 65_536


class Proxy:
    """Passes bytes between `port` and a server on loopback, each answer `delay_s` late, or not at all once `mute`."""

    def __init__(self, to_port: int) -> None:
        self.delay_s = 0.0
        self.mute = False
        self._to_port = to_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def uri(self, options: str = "") -> str:
        """Straight to it: a replica set's members would be asked for by their own addresses."""
        return f"mongodb://127.0.0.1:{self.port}/?directConnection=true{options}"

    def close(self) -> None:
        for one in (self._listener, *self._open):
            # What waits in another thread is only woken by this.
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._to_port))
                self._open += [client, server]
                for source, target, answers in ((client, server, False), (server, client, True)):
                    threading.Thread(target=self._pass_on, args=(source, target, answers), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                if answers:
                    time.sleep(self.delay_s)
                if not self.mute:
                    target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@contextmanager
def proxy_to(port: int) -> Iterator[Proxy]:
    """A proxy to the server on `port` until the block ends."""
    proxy = Proxy(port)
    try:
        yield proxy
    finally:
        proxy.close()


@contextmanager
def black_hole() -> Iterator[int]:
    """A port at which connections are neither accepted nor refused, as behind a firewall that drops packets."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        # Its queue holds one; whoever comes after that gets no answer.
        with socket.create_connection(("127.0.0.1", port)):
            yield port


@contextmanager
def silent_server() -> Iterator[int]:
    """A port that accepts every connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield listener.getsockname()[1]
