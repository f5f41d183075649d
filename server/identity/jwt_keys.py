"""The keys that an identity provider signs its JWTs with: given in the settings, or read from its JWKS."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import httpx2
import jwt
import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from server.bounds import MAX_JWKS
from server.identity.errors import TokenError

FRESH_S = 600.0
"""For so long a JWKS is not asked for again."""

PAUSE_S = 30.0
"""Between two askings, whatever strangers' JWTs name as their key and whatever fails."""

TIMEOUT_S = 5.0

log = structlog.get_logger(__name__)


class JwtKeys(Protocol):
    """Finds the key of a JWT."""

    def find(self, header: Mapping[str, Any]) -> "Awaitable[tuple[Any, str]]":
        """The key and the one algorithm that it is for, whatever the JWT says; raises `TokenError`."""


class OneKey:
    """A single key.

    Args:
        key: bytes of a secret (HS256), or a public key.
        algorithm: that it is for.
    """

    def __init__(self, key: Any, algorithm: str) -> None:
        self._key = key
        self._algorithm = algorithm

    async def find(self, header: Mapping[str, Any]) -> tuple[Any, str]:
        """See `JwtKeys`."""
        return self._key, self._algorithm


def public_key(given: str) -> OneKey:
    """A public key in PEM, or of a file with it.

    Raises:
        ValueError: it is neither, or of a kind that signs no JWTs here.
    """
    try:
        text = given if given.lstrip().startswith("-----BEGIN") else Path(given).expanduser().read_text()
        key = load_pem_public_key(text.encode())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise ValueError(f"it is no public key in PEM, and no file with one: {error}") from None
    if isinstance(key, RSAPublicKey):
        return OneKey(key, "RS256")
    if isinstance(key, EllipticCurvePublicKey) and key.curve.name == "secp256r1":
        return OneKey(key, "ES256")
    raise ValueError("it must be an RSA key (RS256) or one on P-256 (ES256)")


Fetch = Callable[[str], Awaitable[bytes]]


async def fetch(url: str) -> bytes:
    """What is at an address, at most `MAX_JWKS` bytes.

    Raises:
        httpx2.HTTPError, ValueError: it is not to be had, or too long.
    """
    found = bytearray()
    async with (
        httpx2.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False) as client,
        client.stream("GET", url) as response,
    ):
        response.raise_for_status()
        async for part in response.aiter_bytes():
            found += part
            if len(found) > MAX_JWKS:
                raise ValueError(f"more than {MAX_JWKS} bytes")
    return bytes(found)


class Jwks:
    """The keys at an address (https://www.rfc-editor.org/rfc/rfc7517#section-5), asked for when they are needed.

    Keys that are known go on to be known while the address does not answer.

    Args:
        url: of the JWKS.
        fetch: reads it.
        now: monotonic seconds.
    """

    def __init__(self, url: str, fetch: Fetch = fetch, now: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._fetch = fetch
        self._now = now
        self._keys: dict[str | None, tuple[Any, str]] = {}
        self._read_at = self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    async def find(self, header: Mapping[str, Any]) -> tuple[Any, str]:
        """See `JwtKeys`."""
        wanted = header.get("kid")
        name = wanted if isinstance(wanted, str) else None
        if self._stale(name):
            async with self._asking:
                if self._stale(name):
                    await self._ask()
        found = self._keys.get(name)
        if found is None and name is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        if found is None:
            raise TokenError("This JWT is signed with a key that the identity provider does not have")
        return found

    def _stale(self, name: str | None) -> bool:
        missing = name not in self._keys and not (name is None and self._keys)
        due = missing or self._now() - self._read_at > FRESH_S
        return due and self._now() - self._asked_at > PAUSE_S

    async def _ask(self) -> None:
        self._asked_at = self._now()
        try:
            listed = json.loads(await self._fetch(self._url))["keys"]
            self._keys = dict(known for each in listed if (known := _usable(each)) is not None)
        except (httpx2.HTTPError, OSError, ValueError, KeyError, TypeError) as error:
            log.error("JWKS not read", url=self._url, problem=f"{type(error).__name__}: {error}")
            return
        self._read_at = self._now()
        log.info("JWKS read", url=self._url, keys=len(self._keys))


def _usable(listed: Any) -> tuple[str | None, tuple[Any, str]] | None:
    """A key of a JWKS that verifies RS256 or ES256; None for any other, secrets above all."""
    algorithm = {"RSA": "RS256", "EC": "ES256"}.get(str(listed.get("kty")))
    curve = listed.get("crv", "P-256")
    if algorithm is None or listed.get("use", "sig") != "sig" or curve != "P-256":
        return None
    if listed.get("alg", algorithm) != algorithm:
        return None
    try:
        key = jwt.PyJWK.from_dict(listed, algorithm).key
    except (jwt.PyJWTError, ValueError) as error:
        log.warning("a key of the JWKS is of no use", problem=str(error))
        return None
    return listed.get("kid"), (key, algorithm)
