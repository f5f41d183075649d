"""API keys: those of the settings, and those that `morgan keys` keeps, hashed, in a file of the data directory."""

import hashlib
import json
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import structlog

from persistence.embedded.processes import write_private
from server.identity.principal import Principal
from server.identity.scopes import ALL, Scope, parse_scopes

KEYS_FILE = "keys.json"
PREFIX = "mk_"
ID_CHARS = 12

log = structlog.get_logger(__name__)


class KeysFileError(Exception):
    """The file of keys cannot be read; the message says which, and why."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is kept. Keys have 256 random bits, so that one round of SHA-256 hides them well enough.

    Attributes:
        id: names it in lists and logs.
        name: for people.
        digest: SHA-256 of the key, hex.
        scopes: what it may do.
        user_id: whose data it reaches; None for everybody's.
        per_minute: limits of its own, by cost ("call", "work").
        created_at: Unix seconds.
        expires_at: Unix seconds; None for never.
    """

    id: str
    name: str
    digest: str
    scopes: frozenset[Scope]
    user_id: str | None = None
    per_minute: Mapping[str, int] = field(default_factory=dict)
    created_at: int = 0
    expires_at: int | None = None

    def principal(self) -> Principal:
        """Whoever shows it."""
        return Principal(f"key:{self.id}", self.scopes, self.user_id, per_minute=self.per_minute)

    def expired(self, now: float) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and self.expires_at <= now


def digest_of(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """The keys in a file; none where there is no file.

    Raises:
        KeysFileError: it is not what `write_keys` writes.
    """
    try:
        listed = json.loads(path.read_text())["keys"]
        return tuple(_parse(each) for each in listed)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise KeysFileError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise KeysFileError(f"{path} is damaged: {error}") from None


def write_keys(path: Path, keys: Sequence[ApiKey]) -> None:
    """Replace the keys in a file, which only we can read."""
    listed = [{**asdict(key), "scopes": sorted(key.scopes)} for key in keys]
    write_private(path, json.dumps({"keys": listed}, indent=2) + "\n")


def new_key(
    name: str,
    scopes: frozenset[Scope],
    user_id: str | None = None,
    per_minute: Mapping[str, int] | None = None,
    ttl_s: int | None = None,
) -> tuple[str, ApiKey]:
    """A new key, to be shown once, and what is kept of it."""
    secret, now = PREFIX + secrets.token_urlsafe(32), int(time.time())
    digest = digest_of(secret)
    expires_at = None if ttl_s is None else now + ttl_s
    return secret, ApiKey(digest[:ID_CHARS], name, digest, scopes, user_id, per_minute or {}, now, expires_at)


class KeyRing:
    """The keys that open a server; a change of the file counts from the next request on.

    Args:
        configured: keys of the settings, with all scopes.
        path: file of the others.
    """

    def __init__(self, configured: Sequence[str], path: Path) -> None:
        self._configured = {digest_of(key): _of_settings(key) for key in configured}
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


def _of_settings(key: str) -> ApiKey:
    digest = digest_of(key)
    return ApiKey(digest[:ID_CHARS], "MORGAN_API_KEYS", digest, ALL)


def _parse(kept: Any) -> ApiKey:
    return ApiKey(
        str(kept["id"]),
        str(kept["name"]),
        str(kept["digest"]),
        parse_scopes(kept["scopes"]),
        kept.get("user_id"),
        {str(cost): int(most) for cost, most in (kept.get("per_minute") or {}).items()},
        int(kept["created_at"]),
        kept.get("expires_at"),
    )
