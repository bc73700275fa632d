"""The server of the live page: this machine's loopback alone, reading alone, one folder alone."""

from __future__ import annotations

import json
import tempfile
import threading
import webbrowser
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ..errors import UsageError
from .live import Live

ADDRESS = "127.0.0.1"
NAMES = (ADDRESS, "localhost")
"""Hosts that a request may name; any other would be a page of somebody else's that was pointed here."""
OWN = {"/": "page.html", "/page.css": "page.css", "/page.js": "page.js"}
TYPES = {
    ".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
    ".json": "application/json", ".csv": "text/csv; charset=utf-8", ".parquet": "application/vnd.apache.parquet",
    ".png": "image/png", ".webp": "image/webp", ".avif": "image/avif", ".jpg": "image/jpeg", ".svg": "image/svg+xml",
}  # fmt: skip
PICTURES = (".png", ".webp", ".avif", ".jpg")
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'self'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
POLL = 1.0  # seconds between two looks at the store


def serve(folder: Path, port: int, announce: Callable[[str], object], *, browse: bool = False) -> None:
    """Serve the run in the folder until interrupted.

    Args:
        port: 0 for any that is free.
        announce: told the address.

    Raises:
        UsageError: if the folder holds no readable run, or the port is taken.
    """
    with tempfile.TemporaryDirectory(prefix="sigmabench-") as out:
        live = Live(folder, Path(out))
        with listen(live, port) as server:
            address = f"http://{ADDRESS}:{server.server_port}/"
            announce(address)
            stop = threading.Event()
            threading.Thread(target=_keep_renewing, args=(live, stop), daemon=True).start()
            if browse:
                webbrowser.open(address)
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                stop.set()


def listen(live: Live, port: int) -> ThreadingHTTPServer:
    """A server on the loopback address that has not begun to answer."""
    try:
        return ThreadingHTTPServer((ADDRESS, port), partial(Handler, live))
    except OSError as error:
        raise UsageError(f"cannot listen on port {port}: {error.strerror}; choose another --port") from error


def _keep_renewing(live: Live, stop: threading.Event) -> None:
    while not stop.wait(POLL):
        live.renew()


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD; the standard library refuses every other method."""

    server_version, sys_version = "sigmabench", ""

    def __init__(self, live: Live, *args: Any) -> None:
        self.live = live
        super().__init__(*args)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if not self._is_ours():
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST, "This page is for the browser on its own machine")
            return
        path = unquote(urlsplit(self.path).path)
        if path == "/progress.json":
            self._send(json.dumps(self.live.look()).encode(), ".json")
        elif found := self._find(path):
            self._send(found.read_bytes(), found.suffix)
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _is_ours(self) -> bool:
        """Whether the request names this machine: a page elsewhere whose name was made to lead here does not."""
        port = self.connection.getsockname()[1]
        return self.headers.get("Host", "") in {f"{name}:{port}" for name in NAMES}

    def _find(self, path: str) -> Path | None:
        """A file of the page, of the published report, or a picture of the run; nothing else, wherever links lead."""
        if path in OWN:
            return Path(__file__).with_name(OWN[path])
        name = path.lstrip("/")
        return _inside(self.live.out, name, *TYPES) or _inside(self.live.folder, name, *PICTURES)

    def _send(self, body: bytes, suffix: str) -> None:
        self.send_response(HTTPStatus.OK)
        for name, value in {"Content-Type": TYPES[suffix], "Content-Length": str(len(body)), **HEADERS}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: requests every two seconds are no news."""


def _inside(root: Path, name: str, *suffixes: str) -> Path | None:
    """The file of that name, if it lies in the folder once all links are followed, and has one of these suffixes."""
    try:
        found = (root / name).resolve()
        shown = found.is_relative_to(root.resolve()) and found.suffix in suffixes and found.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return None
    return found if shown else None
