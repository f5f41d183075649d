"""The keys that open a server: those of the settings, and those of the file that `morgan keys` writes."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

import structlog

from server.identity.keys_file import ID_CHARS, ApiKey, KeysFileError, digest_of, read_keys
from server.identity.principal import Principal
from server.identity.scopes import Scope

log = structlog.get_logger(__name__)


class KeyRing:
    """The keys that open a server; a change of the file counts from the next request on.

    Args:
        configured: keys of the settings, and their scopes.
        path: file of the others.
    """

    def __init__(self, configured: Mapping[str, frozenset[Scope]], path: Path) -> None:
        self._configured = {digest_of(key): _of_settings(key, scopes) for key, scopes in configured.items()}
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._kept: dict[str, ApiKey] = {}
        self._seen = False
        self._look()

    @property
    def present(self) -> bool:
        """Whether keys are asked for: also once the last one was revoked, until the file itself is deleted and the
        server started again."""
        self._look()
        return bool(self._configured) or self._seen

    def find(self, key: str) -> Principal | None:
        """Who shows this key; None where nobody may. Digests are looked up, which tells nothing of the keys in time."""
        self._look()
        digest = digest_of(key)
        found = self._configured.get(digest) or self._kept.get(digest)
        return None if found is None or found.expired(time.time()) else found.principal()

    def _look(self) -> None:
        try:
            status = os.stat(self._path)  # noqa: PTH116 - once per request
        except FileNotFoundError:
            self._stamp, self._kept = None, {}
            return
        except OSError as error:
            self._fail(f"{self._path} cannot be read: {error.strerror}")
            return
        stamp = status.st_ino, status.st_mtime_ns, status.st_size
        if stamp == self._stamp:
            return
        self._stamp, self._seen = stamp, True
        try:
            self._kept = {key.digest: key for key in read_keys(self._path)}
        except KeysFileError as error:
            self._fail(str(error))

    def _fail(self, problem: str) -> None:
        """Nobody is let in by a file that cannot be understood."""
        log.error("keys cannot be read, those of the file let nobody in", problem=problem)
        self._kept, self._seen = {}, True


def _of_settings(key: str, scopes: frozenset[Scope]) -> ApiKey:
    digest = digest_of(key)
    return ApiKey(digest[:ID_CHARS], "of the settings", digest, scopes)
