"""API keys as `morgan keys` keeps them: hashed, in a file of the data directory."""

import hashlib
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from persistence.embedded.processes import write_private
from server.identity.principal import Principal
from server.identity.scopes import Scope, parse_scopes

KEYS_FILE = "keys.json"
PREFIX = "mk_"
ID_CHARS = 12


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
        per_day: quotas of its own, likewise.
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
    per_day: Mapping[str, int] = field(default_factory=dict)

    def principal(self) -> Principal:
        """The principal that shows it."""
        return Principal(f"key:{self.id}", self.scopes, self.user_id, per_minute=self.per_minute, per_day=self.per_day)

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
    per_day: Mapping[str, int] | None = None,
) -> tuple[str, ApiKey]:
    """A new key, to be shown once, and what is kept of it."""
    secret, now = PREFIX + secrets.token_urlsafe(32), int(time.time())
    digest = digest_of(secret)
    expires_at = None if ttl_s is None else now + ttl_s
    key = ApiKey(
        digest[:ID_CHARS], name, digest, scopes, user_id, per_minute or {}, now, expires_at, per_day=per_day or {}
    )
    return secret, key


def _parse(kept: Any) -> ApiKey:
    return ApiKey(
        str(kept["id"]),
        str(kept["name"]),
        str(kept["digest"]),
        parse_scopes(kept["scopes"]),
        kept.get("user_id"),
        _limits(kept.get("per_minute")),
        int(kept["created_at"]),
        kept.get("expires_at"),
        _limits(kept.get("per_day")),
    )


def _limits(kept: Any) -> dict[str, int]:
    return {str(cost): int(most) for cost, most in (kept or {}).items()}
