"""A model hub on a loopback port, with the troubles that real ones have."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class HubServer:
    """What the hub serves and what was asked of it.

    Attributes:
        files: content by path, such as "owner/name/resolve/main/model.bin"; a path with a slash at its end is a page.
        endpoint: its address.
        break_after: the next answers stop after this many bytes each.
        honours_ranges: whether `Range` is understood.
        status: answered to every GET in place of the file.
        requests: (method, path, Range header) of each request.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    endpoint: str = ""
    break_after: list[int] = field(default_factory=list)
    honours_ranges: bool = True
    status: int = 200
    requests: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def downloads(self) -> list[tuple[str, str]]:
        """Path and range of every GET."""
        return [(path, ranges) for method, path, ranges in self.requests if method == "GET"]


@contextmanager
def running_hub() -> Iterator[HubServer]:
    """Serve until the block ends."""
    hub = HubServer()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._note()
            self.send_response(200)
            self.end_headers()

        def do_GET(self) -> None:
            self._note()
            content = hub.files.get(self.path.lstrip("/"))
            if content is None or hub.status != 200:
                self.send_error(404 if content is None else hub.status)
                return
            start = self._start()
            if start and start >= len(content):
                self.send_error(416)
                return
            body = content[start:]
            self.send_response(206 if start else 200)
            if self.path.endswith("/"):
                self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            if hub.break_after:
                body = body[: hub.break_after.pop(0)]
            self.wfile.write(body)

        def _note(self) -> None:
            hub.requests.append((self.command, self.path.lstrip("/"), self.headers.get("Range", "")))

        def _start(self) -> int:
            header = self.headers.get("Range", "")
            return int(header.removeprefix("bytes=").removesuffix("-")) if header and hub.honours_ranges else 0

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
