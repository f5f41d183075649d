"""Files from a model hub over HTTP, with resume.

The hub is asked once per process whether it answers; where it does not (no network, a registry-only machine), it
is not waited for again. `HF_ENDPOINT`, `HF_TOKEN` and `HF_HUB_OFFLINE` mean what they mean to the hub's own client.

That client, `huggingface_hub`, is not used: since https://github.com/huggingface/huggingface_hub/pull/4228 (2.4 has it)
the partial file of a download goes with its process, so that a start which is broken off in the middle of a gigabyte
begins it anew, where this goes on; and it stops a file that is longer than the manifest says only at its end.
"""

import functools
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx2

from pipeline.models.errors import SourceError, SourceUnreachableError
from pipeline.models.manifest import HubSource, ModelFile

DEFAULT_ENDPOINT = "https://huggingface.co"

_CONNECT_TIMEOUT_S = 2.0
_PROBE_LIMIT_S = 4.0
"""For the whole probe: a name server that does not answer is not covered by the connect timeout."""
_READ_TIMEOUT_S = 30.0
_ATTEMPTS_WITHOUT_PROGRESS = 3

_RANGE_NOT_SATISFIABLE = 416
_PARTIAL_CONTENT = 206


class Hub:
    """A model hub that speaks the `/{repository}/resolve/{revision}/{path}` addresses of huggingface.co.

    Args:
        environ: where `HF_*` are looked up.
        pause: waits before another attempt, in seconds.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ, *, pause: Callable[[float], None] = time.sleep) -> None:
        self.endpoint = environ.get("HF_ENDPOINT", "").rstrip("/") or DEFAULT_ENDPOINT
        self._offline = environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
        self._token = environ.get("HF_TOKEN", "")
        self._pause = pause
        self._lock = threading.Lock()
        self._reachable: bool | None = None

    def reachable(self) -> bool:
        """Whether the hub answers. Asks it the first time (at most 4 s), remembers afterwards."""
        with self._lock:
            if self._reachable is None:
                self._reachable = not self._offline and self._probe()
            return self._reachable

    def headers(self) -> dict[str, str]:
        """HTTP headers that tell the hub who asks; empty without a token."""
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def download(self, source: HubSource, file: ModelFile, target: Path, on_bytes: Callable[[int], None]) -> None:
        """Download one file to `target`, going on where an earlier attempt stopped.

        The content is not verified; a file longer than the manifest says is refused.

        Args:
            source: repository and revision.
            file: which file of it.
            target: a partial file, kept when the download breaks off.
            on_bytes: called with the number of bytes there so far.

        Raises:
            SourceError: the hub has no such file, or sends something else.
            SourceUnreachableError: the hub does not answer, or not to us; it is not asked again.
            OSError: the file cannot be written.
        """
        url = f"{self.endpoint}/{source.repository}/resolve/{source.revision}/{file.hub_path}"
        idle = 0
        with httpx2.Client(timeout=httpx2.Timeout(_READ_TIMEOUT_S, connect=10.0), follow_redirects=True) as client:
            while True:
                before = _size(target)
                try:
                    self._attempt(client, url, file, target, on_bytes)
                    break
                except httpx2.TransportError as error:
                    idle = 0 if _size(target) > before else idle + 1
                    if idle >= _ATTEMPTS_WITHOUT_PROGRESS:
                        self._give_up()
                        raise SourceUnreachableError(f"{self.endpoint} broke off: {_reason(error)}") from error
                    self._pause(2.0**idle)
                except (httpx2.HTTPError, httpx2.InvalidURL) as error:
                    raise SourceError(f"{url}: {error}") from error

    def _attempt(
        self, client: httpx2.Client, url: str, file: ModelFile, target: Path, on_bytes: Callable[[int], None]
    ) -> None:
        start = _size(target)
        if start > file.size:
            target.unlink()
            start = 0
        if start == file.size:
            on_bytes(start)
            return
        # A compressed transfer would make the ranges and sizes those of something else.
        headers = {"Accept-Encoding": "identity", **self.headers()}
        if start:
            headers["Range"] = f"bytes={start}-"
        with client.stream("GET", url, headers=headers) as response:
            if response.status_code == _RANGE_NOT_SATISFIABLE:
                target.unlink()
                raise SourceError(f"{url} is shorter than the {file.size:,} bytes it should have")
            self._check_status(response, url)
            resumed = response.status_code == _PARTIAL_CONTENT and _starts_at(response, start)
            with target.open("ab" if resumed else "wb") as part:
                self._receive(response, file, part.write, start if resumed else 0, on_bytes)
        if _size(target) != file.size:
            raise SourceError(f"{url} has {_size(target):,} bytes in place of {file.size:,}")

    def _receive(
        self,
        response: httpx2.Response,
        file: ModelFile,
        write: Callable[[bytes], int],
        count: int,
        on_bytes: Callable[[int], None],
    ) -> None:
        # As they come in: blocks of a fixed size would lose the last one when the connection breaks.
        for block in response.iter_raw():
            count += len(block)
            if count > file.size:
                raise SourceError(f"{response.url} is longer than the {file.size:,} bytes it should have")
            write(block)
            on_bytes(count)

    def _check_status(self, response: httpx2.Response, url: str) -> None:
        code = response.status_code
        if code in (407, 429) or code >= 500:
            self._give_up()
            raise SourceUnreachableError(f"{self.endpoint} answers {code} {response.reason_phrase}")
        if code not in (200, _PARTIAL_CONTENT):
            raise SourceError(f"{url} answers {code} {response.reason_phrase}")

    def _give_up(self) -> None:
        with self._lock:
            self._reachable = False

    def _probe(self) -> bool:
        answers: list[bool] = []
        thread = threading.Thread(target=lambda: answers.append(self._answers()), name="hub-probe", daemon=True)
        thread.start()
        thread.join(_PROBE_LIMIT_S)
        return answers == [True]

    def _answers(self) -> bool:
        try:
            response = httpx2.head(self.endpoint, timeout=_CONNECT_TIMEOUT_S)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError):
            return False
        return response.status_code < 500 and response.status_code != 407


@functools.cache
def process_hub() -> Hub:
    """The hub of this process, so that a hub which does not answer is found out once."""
    return Hub()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _starts_at(response: httpx2.Response, start: int) -> bool:
    """Whether a partial answer continues our file (RFC 9110, section 14.4)."""
    return str(response.headers.get("Content-Range", "")).startswith(f"bytes {start}-")


def _reason(error: httpx2.TransportError) -> str:
    return str(error) or type(error).__name__
