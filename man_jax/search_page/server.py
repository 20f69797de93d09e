"""Serve the page over HTTP on 127.0.0.1 only, with the standard library.

Other pages that are open in the same browser must learn nothing and change nothing. A request whose `Host` is another
name is refused, because a foreign name can be made to lead to 127.0.0.1. A POST must come from the page itself. No
part of an address is ever used as a path of a file.
"""

import json
import os
import secrets
import sys
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from man_jax.search_page.answers import Answers, RefusedError

ADDRESS = "127.0.0.1"
PAGE = Path(__file__).with_name("page.html")
MAX_UPLOAD = 128 << 20
"""Bytes of a request: three pictures of 30 MB, and what base64 adds."""
PATIENCE = 30
"""Seconds after which a silent connection is closed."""


class Reply(NamedTuple):
    """An answer over HTTP."""

    status: int
    kind: str
    body: bytes


class PageServer(ThreadingHTTPServer):
    """A server of one page; use it as a context, so that its socket is closed."""

    daemon_threads = True
    allow_reuse_address = os.name == "posix"
    """Windows would let another program listen on the same port."""

    def __init__(self, answers: Answers, *, port: int = 0):
        """Listen on a port, or on any free one if it is 0; OSError if the port is taken."""
        self.answers = answers
        self.nonce = secrets.token_urlsafe(16)
        self.page = PAGE.read_text(encoding="utf-8").replace("@NONCE@", self.nonce).encode()
        super().__init__((ADDRESS, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell of an error, except that a browser closed its connection in the middle."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    @property
    def address(self) -> str:
        """The address to open in a browser."""
        return f"http://{ADDRESS}:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    server: PageServer  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE

    def do_GET(self) -> None:
        self._answer(lambda: self._got(urlsplit(self.path)))

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        self._answer(self._posted)

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing; the terminal is for the command's own lines."""

    def version_string(self) -> str:
        return "man_jax"

    def _answer(self, reply: Any) -> None:
        try:
            self._check_origin()
            answer = reply()
        except RefusedError as refused:
            answer = _json({"error": str(refused)}, status=refused.status)
            if self.command == "POST":
                self.close_connection = True  # its body may be unread
        self._send(answer)

    def _check_origin(self) -> None:
        host = self.headers.get("Host", "")
        if host.partition(":")[0] not in (ADDRESS, "localhost"):
            raise RefusedError(403, f"Open this page as {self.server.address}")
        origin = self.headers.get("Origin")
        if origin is not None and origin != f"http://{host}":
            raise RefusedError(403, "Another page may not ask this one.")

    def _got(self, address: Any) -> Reply:
        given = {name: values[-1] for name, values in parse_qs(address.query).items()}
        answers = self.server.answers
        match address.path.split("/")[1:]:
            case [""]:
                return Reply(200, "text/html; charset=utf-8", self.server.page)
            case ["about"]:
                return _json(answers.about())
            case ["queries"]:
                return _json(answers.queries(text=given.get("text", ""), start=_count(given, "start")))
            case ["matches"]:
                source, row, k = given.get("source", ""), _count(given, "row"), _count(given, "k")
                return _json(answers.matches(source=source, row=row, k=k))
            case ["image", source, row, modality]:
                content = answers.image(source=source, row=_count({"row": row}, "row"), modality=modality)
                return Reply(200, "image/jpeg", content)
        raise RefusedError(404, "There is no such page.")

    def _posted(self) -> Reply:
        if self.path != "/upload":
            raise RefusedError(404, "There is no such page.")
        if self.headers.get_content_type() != "application/json":
            raise RefusedError(415, "Send JSON.")  # a form of another page cannot
        length = _count({"length": self.headers.get("Content-Length", "")}, "length")
        if length > MAX_UPLOAD:
            raise RefusedError(413, f"The pictures have {length:,} bytes; at most {MAX_UPLOAD:,} are taken.")
        try:
            payload = json.loads(self.rfile.read(length))
        except ValueError:
            raise RefusedError(400, "The pictures did not arrive whole; send them again.") from None
        return _json(self.server.answers.upload(payload))

    def _send(self, reply: Reply) -> None:
        policy = (
            f"default-src 'none'; script-src 'nonce-{self.server.nonce}'; style-src 'nonce-{self.server.nonce}'; "
            "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        self.send_response(reply.status)
        headers = {
            "Content-Type": reply.kind,
            "Content-Length": str(len(reply.body)),
            "Content-Security-Policy": policy,
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
        }
        if self.close_connection:
            headers["Connection"] = "close"
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)


def _json(content: Any, *, status: int = 200) -> Reply:
    return Reply(status, "application/json", json.dumps(content).encode())


def _count(given: Mapping[str, str], name: str) -> int:
    """Read a whole number from 0 upwards; RefusedError if it is none."""
    text = given.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise RefusedError(400, f"{name} must be a whole number from 0 upwards.")
    return int(text)
