"""Real local receivers of notifications: one that takes webhooks, one that takes e-mail."""

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, HTTPServer


@dataclass
class Inbox:
    """What a receiver got, each as title and text, and its port; while it `refuses` it takes none."""

    port: int = 0
    refuses: bool = False
    got: list[tuple[str, str]] = field(default_factory=list)

    @property
    def titles(self) -> list[str]:
        return [title for title, _ in self.got]


@contextmanager
def webhook(port: int = 0) -> Iterator[Inbox]:
    """A receiver of apprise's json:// on the loopback, on `port`, or on any that is free."""
    inbox = Inbox()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if not inbox.refuses:
                inbox.got.append((body["title"], body["message"]))
            self.send_response(500 if inbox.refuses else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with _serve(HTTPServer(("127.0.0.1", port), Handler), inbox):
        yield inbox


@contextmanager
def hanging() -> Iterator[int]:
    """The port of a receiver that takes a webhook and then sends its answer a byte a second, without an end."""
    ends = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                self.request.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while not ends.wait(1.0):
                    self.request.sendall(b"a")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            ends.set()
            server.shutdown()
            thread.join()


@contextmanager
def mailbox() -> Iterator[Inbox]:
    """A receiver of e-mail on the loopback that speaks as much SMTP as a sender needs."""
    inbox = Inbox()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 mailbox\r\n")
            for line in self.rfile:
                command = line.split()[0].upper()
                if command == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    self._take()
                self.wfile.write(b"221 bye\r\n" if command == b"QUIT" else b"250 ok\r\n")

        def _take(self) -> None:
            lines = iter(self.rfile.readline, b".\r\n")
            message = message_from_bytes(b"".join(lines), policy=policy.default)
            body = message.get_body(("plain",))
            assert body is not None
            inbox.got.append((str(message["Subject"]), body.get_content()))

    with _serve(socketserver.TCPServer(("127.0.0.1", 0), Handler), inbox):
        yield inbox


@contextmanager
def _serve(server: socketserver.TCPServer, inbox: Inbox) -> Iterator[None]:
    inbox.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
