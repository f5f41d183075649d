"""Who may use the API: whoever has one of the keys, where there are any; who tries wrong ones is slowed down."""

import hashlib
import hmac
from collections.abc import Sequence

from aiohttp import web
from aiohttp.typedefs import Middleware

from server.http.errors import ApiError, Handler
from server.http.networks import network
from server.http.operation import operation_of
from server.http.rate_limits import PRINCIPAL, PerClient, too_many
from server.observability.metrics import Metrics

STATIC = "/static/"


class WrongKeys(PerClient):
    """Counts wrong keys by remote address.

    A right key is always let in: behind one address may be many people, and keys are too long to be guessed, however
    fast. What is limited is the work and the log lines that guessing costs.
    """


def guard(keys: Sequence[str], wrong_keys: WrongKeys, metrics: Metrics) -> Middleware:
    """A middleware that lets in requests with one of the keys, and everybody to what is open.

    Args:
        keys: the keys; without any, everybody on this machine is let in (the server listens on loopback only).
        wrong_keys: shared by the ports of a server.
        metrics: what is counted.
    """
    known = [key.encode() for key in keys]

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if known and not _is_open(request):
            key = _key(request, known)
            if key is None:
                await _refuse(request, wrong_keys, metrics)
            else:
                request[PRINCIPAL] = hashlib.sha256(key).hexdigest()[:16]
        return await handler(request)

    return middleware


async def _refuse(request: web.Request, wrong_keys: WrongKeys, metrics: Metrics) -> None:
    """Raise the fitting error."""
    if "Authorization" in request.headers:
        metrics.wrong_key()
        wait_s = await wrong_keys.hit(network(request.remote))
        if wait_s is not None:
            raise too_many("too_many_wrong_keys", "Too many wrong keys from this address", wait_s)
    message = "This server asks for a key: send it as `Authorization: Bearer <key>`"
    raise ApiError(401, "unauthorized", message, headers={"WWW-Authenticate": "Bearer"})


def _is_open(request: web.Request) -> bool:
    operation = operation_of(request.match_info.handler)
    return request.path.startswith(STATIC) or (operation is not None and operation.open)


def _key(request: web.Request, known: Sequence[bytes]) -> bytes | None:
    """Which of the keys a request has."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    # Every key is compared, so that the time taken tells nothing.
    shown = given.strip().encode("utf-8", "surrogateescape")
    matches = [key for key in known if hmac.compare_digest(shown, key)]
    return matches[0] if matches else None
