"""A local HTTP server that misbehaves as ordered, and remembers what it was asked."""

from __future__ import annotations

import gzip
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

CONTENT = bytes(range(256)) * 4096
GATE_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class SeenRequest:
    """What the server was asked."""

    method: str
    path: str
    range: str | None
    if_range: str | None


class Handler(BaseHTTPRequestHandler):
    """Answer each request with the next behaviour of the script."""

    server: FaultServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Record the request and misbehave as ordered."""
        headers = self.headers
        seen = SeenRequest("GET", self.path, headers["Range"], headers["If-Range"])
        self.server.requests.append(seen)
        self.close_connection = True
        (self.server.orders.pop(0) if self.server.orders else ok)(self)

    def log_message(self, *_: Any) -> None:
        """Keep the test's output quiet."""

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        """Send a whole answer; a header named like Content_Type replaces the usual one."""
        self.head(status, **{"Content_Length": str(len(body)), **headers})
        self.wfile.write(body)

    def head(self, status: int, **headers: str) -> None:
        """Send the status line and headers."""
        self.send_response(status)
        etag = {"ETag": self.server.etag} if self.server.etag else {}
        for name, value in {"Connection": "close", **etag, **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def begin(self) -> bytes:
        """Send the head of an honest answer to the request, and return its body."""
        content = self.server.content
        is_same = self.headers["If-Range"] in (None, self.server.etag)
        asked = self.headers["Range"] if is_same else None
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        body, size_bytes = content[start:], len(content)
        if not asked:
            self.head(200, Content_Length=str(size_bytes))
        elif not body:
            self.head(416, Content_Length="0", Content_Range=f"bytes */{size_bytes}")
        else:
            content_range = f"bytes {start}-{size_bytes - 1}/{size_bytes}"
            self.head(206, Content_Length=str(len(body)), Content_Range=content_range)
        return body


Behaviour = Callable[[Handler], None]


def ok(handler: Handler) -> None:
    """Answer as an honest server does."""
    handler.wfile.write(handler.begin())


def ignore_range(handler: Handler) -> None:
    """Send the whole file, whatever was asked."""
    handler.answer(200, handler.server.content)


def truncate_after(size_bytes: int) -> Behaviour:
    """Declare the whole and close the connection after some bytes."""

    def behave(handler: Handler) -> None:
        body = handler.begin()
        handler.wfile.write(body[:size_bytes])

    return behave


def too_much(handler: Handler) -> None:
    """Send the file over and over without declaring a size, until the client leaves."""
    handler.head(200)
    while True:
        handler.wfile.write(handler.server.content)


def too_much_declared(handler: Handler) -> None:
    """Declare a size, and send more."""
    content = handler.server.content
    handler.head(200, Content_Length=str(len(content)))
    handler.wfile.write(content + b"trailing bytes")


def redirect(location: str) -> Behaviour:
    """Send the client elsewhere."""
    return lambda handler: handler.answer(302, b"", Location=location)


def stall_after(size_bytes: int) -> Behaviour:
    """Send some bytes, and the rest when the gate opens."""

    def behave(handler: Handler) -> None:
        body = handler.begin()
        handler.wfile.write(body[:size_bytes])
        handler.server.gate.wait(GATE_TIMEOUT_S)
        handler.wfile.write(body[size_bytes:])

    return behave


def slow(pause_s: float, pieces: int) -> Behaviour:
    """Send the file in pieces with pauses between them."""

    def behave(handler: Handler) -> None:
        body = handler.begin()
        step = -(-len(body) // pieces)
        for start in range(0, len(body), step):
            handler.wfile.write(body[start : start + step])
            time.sleep(pause_s)

    return behave


def silent(handler: Handler) -> None:
    """Answer nothing until the gate opens."""
    handler.server.gate.wait(GATE_TIMEOUT_S)


def fail(code: int) -> Behaviour:
    """Answer with an error status, and a page about it."""
    return lambda handler: handler.answer(code, b"<html>", Content_Type="text/html")


def html(content_type: str) -> Behaviour:
    """Answer 200 with a page, as captive portals do."""
    page = b"\n<!DOCTYPE html><p>Log in"
    return lambda handler: handler.answer(200, page, Content_Type=content_type)


def wrong_bytes(handler: Handler) -> None:
    """Send as many bytes as were asked for, but others."""
    handler.wfile.write(bytes(len(handler.begin())))


def drop_connection(handler: Handler) -> None:
    """Close the connection without an answer."""


def gzip_encoded(handler: Handler) -> None:
    """Compress the answer, whatever encodings the client accepts."""
    handler.answer(200, gzip.compress(handler.server.content), Content_Encoding="gzip")


def chunked(handler: Handler) -> None:
    """Send the file in chunks, without its size."""
    handler.head(200, Transfer_Encoding="chunked")
    content = handler.server.content
    handler.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(content), content))


def wrong_content_range(handler: Handler) -> None:
    """Answer a range request with another range."""
    content = handler.server.content
    content_range = f"bytes 0-{len(content) - 1}/{len(content)}"
    handler.answer(206, content, Content_Range=content_range)


class FaultServer(ThreadingHTTPServer):
    """Serve one content on 127.0.0.1, following a script; honestly once that has ended.

    A certificate, in one PEM file with its key, makes it speak TLS.
    """

    daemon_threads = False

    def __init__(self, content: bytes, certificate: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = content
        self.etag = ""
        self.requests: list[SeenRequest] = []
        self.gate = threading.Event()
        self.orders: list[Behaviour] = []
        scheme = "https" if certificate else "http"
        self.url = f"{scheme}://127.0.0.1:{self.server_port}/file.bin"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()

    def script(self, *behaviours: Behaviour) -> None:
        """Order one behaviour for each of the next requests."""
        self.orders = list(behaviours)

    def ranges(self) -> list[str | None]:
        """Return the Range header of each request."""
        return [request.range for request in self.requests]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet about clients that left, not about a bug in a behaviour."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def stop(self) -> None:
        """End the thread and close every socket."""
        self.gate.set()
        self.shutdown()
        self._thread.join()
        self.server_close()


@pytest.fixture(name="no_proxy")
def no_proxy_fixture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the proxies of whoever runs the tests out of the way."""
    for variable in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)


@pytest.fixture(name="server")
def server_fixture(no_proxy: None) -> Iterator[FaultServer]:
    """Run a server of CONTENT, honest until it is scripted otherwise."""
    server = FaultServer(CONTENT)
    yield server
    server.stop()
