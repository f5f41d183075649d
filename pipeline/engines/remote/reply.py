"""One answer of one of Morgan's own services in another process: asked for, read, given up."""

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import aiohttp

from pipeline.engines.llm.context_window import ContextOverflowError
from pipeline.engines.protocols import EngineError, EngineUnavailableError, RequestRefusedError
from pipeline.engines.remote.replicas import Replica
from pipeline.scheduling.lanes import LaneFullError, Ticket

T = TypeVar("T")

TICKET, URGENCY, DEADLINE = "X-Morgan-Ticket", "X-Morgan-Urgency", "X-Morgan-Deadline-Ms"
"""Headers: a name by which the work can be spoken of, the name of its urgency, milliseconds until it is due."""

LOOK_S = 0.01
"""How often a ticket in flight is looked at."""


class BusyServiceError(LaneFullError):
    """The service has too much to do; another of its servers may have less."""


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """How a service is spoken to.

    Attributes:
        api_key: sent as bearer token; empty for none.
        connect_timeout_s: until a connection stands.
        first_timeout_s: from the request to the first byte of the answer.
        idle_timeout_s: the same for work that lets everything else go first.
        next_timeout_s: from one piece of the answer to the next.
        capacity: requests in flight; one more raises `LaneFullError`.
    """

    api_key: str = ""
    connect_timeout_s: float = 1.0
    first_timeout_s: float = 8.0
    idle_timeout_s: float = 60.0
    next_timeout_s: float = 8.0
    capacity: int = 256


@dataclass(frozen=True, slots=True)
class Question:
    """What a service is asked.

    Attributes:
        path: of the route.
        body: JSON as bytes, or whatever `content_type` says.
        content_type: of the body.
        query: behind the question mark.
        conversation: see `Replicas.next`.
        patience_s: how long to wait for a server to come back when none is there.
    """

    path: str
    body: bytes
    content_type: str = "application/json"
    query: Mapping[str, str] = field(default_factory=dict)
    conversation: str = ""
    patience_s: float = 0.0


class AskedService(Protocol):
    """What an answer needs of the service that it is of.

    Attributes:
        name: "llm", "tts" or "stt", for messages.
        options: how long to wait.
    """

    name: str
    options: ServiceOptions

    def post(
        self, replica: Replica, path: str, body: bytes, headers: Mapping[str, str], query: Mapping[str, str]
    ) -> Any:
        """aiohttp's request to a server."""

    def tell(self, replica: Replica, name: str, ticket: Ticket) -> None:
        """Let a server know of a ticket's new urgency."""


class ServiceReply:
    """One server's answer to one piece of work, watched over by the ticket; belongs to `RemoteService.ask`.

    Args:
        server: what is asked of it goes through this.
        replica: the server.
        ticket: of the work.
    """

    def __init__(self, server: AskedService, replica: Replica, ticket: Ticket) -> None:
        self._server = server
        self._replica = replica
        self._ticket = ticket
        self._name = uuid.uuid4().hex
        self._told = (ticket.urgency, ticket.resting)
        self._limit: asyncio.Timeout | None = None
        self._response: aiohttp.ClientResponse | None = None
        self._whole = False
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(LOOK_S, self._look)
        replica.in_flight += 1

    async def open(self, question: Question) -> None:
        """Send the work and wait for the beginning of the answer.

        Raises:
            EngineError: this server failed; see `RemoteService.ask` for what else.
        """
        fields = ticket_fields(self._ticket, time.monotonic())
        self._told = (self._ticket.urgency, False)
        headers = {TICKET: self._name, URGENCY: fields["urgency"], "Content-Type": question.content_type}
        if fields["deadline_ms"] is not None:
            headers[DEADLINE] = str(fields["deadline_ms"])
        options = self._server.options
        limit_s = options.idle_timeout_s if self._ticket.optional else options.first_timeout_s

        async def send() -> aiohttp.ClientResponse:
            response: aiohttp.ClientResponse = await self._server.post(
                self._replica, question.path, question.body, headers, question.query
            )
            return response

        try:
            try:
                self._response = await self._in_time(send(), limit_s)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                if isinstance(error, aiohttp.ClientConnectorError):
                    raise
                # A kept connection that the server had closed meanwhile: nothing was answered yet.
                self._response = await self._in_time(send(), limit_s)
            if self._response.status >= 400:
                raise await self._refusal(self._response)
        except (aiohttp.ClientError, TimeoutError) as error:
            if self._ticket.cancelled:
                return
            raise self._failure(error) from error

    async def json(self) -> Any:
        """The whole answer; None once the ticket is cancelled."""
        whole = b"".join([piece async for piece in self._pieces()])
        if self._ticket.cancelled:
            return None
        try:
            return json.loads(whole)
        except ValueError:
            raise EngineError(f"{self._server.name} at {self._replica.url}: no JSON; is it a Morgan?") from None

    async def lines(self) -> AsyncGenerator[bytes, None]:
        """The answer line by line as it comes, empty ones left out; ends early once the ticket is cancelled."""
        held = bytearray()
        async with contextlib.aclosing(self._pieces()) as pieces:
            async for piece in pieces:
                held += piece
                *whole, rest = held.split(b"\n")
                held = bytearray(rest)
                for line in whole:
                    if line.strip():
                        yield bytes(line)

    def close(self) -> None:
        """Done: the connection is kept if the answer was read to its end, else the server sees that we left."""
        if self._closed:
            return
        self._closed = True
        self._replica.in_flight -= 1
        self._timer.cancel()
        if self._ticket.given_up and not self._whole:
            # Whoever waited has found out before the time limits did.
            self._replica.failed(time.monotonic(), "no answer in time")
        if self._response is not None:
            if self._whole:
                self._response.release()
            else:
                self._response.close()

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        response, limit_s = self._response, self._server.options.next_timeout_s
        while response is not None and not self._ticket.cancelled:
            try:
                piece = await self._in_time(response.content.readany(), limit_s)
            except (aiohttp.ClientError, TimeoutError) as error:
                if self._ticket.cancelled:
                    return
                raise self._failure(error) from error
            if not piece:
                self._whole = True
                self._replica.succeeded()
                return
            yield piece

    async def _in_time(self, work: Awaitable[T], seconds: float) -> T:
        async with asyncio.timeout(seconds) as self._limit:
            try:
                return await work
            finally:
                self._limit = None

    def _look(self) -> None:
        """The ticket may have changed hands meanwhile."""
        if self._ticket.cancelled:
            if self._limit is not None and not self._limit.expired():
                self._limit.reschedule(self._loop.time())
            return
        if (self._ticket.urgency, self._ticket.resting) != self._told:
            self._told = (self._ticket.urgency, self._ticket.resting)
            self._server.tell(self._replica, self._name, self._ticket)
        if self._ticket.resting and self._limit is not None and not self._limit.expired():
            # Nothing is to come meanwhile.
            self._limit.reschedule(self._loop.time() + self._server.options.next_timeout_s)
        self._timer = self._loop.call_later(LOOK_S, self._look)

    def _failure(self, error: Exception) -> EngineError:
        # A server that is only slow is no dead one: whether it is, the probes find out.
        gone = isinstance(error, aiohttp.ClientConnectorError | aiohttp.ServerDisconnectedError)
        self._replica.failed(time.monotonic(), short(error), gone=gone)
        return EngineError(f"{self._server.name} at {self._replica.url}: {short(error)}")

    async def _refusal(self, response: aiohttp.ClientResponse) -> Exception:
        """What a status of 400 and more means."""
        body = await self._in_time(response.read(), self._server.options.next_timeout_s)
        self._whole = True
        code, message = _told(body)
        at = f"{self._server.name} at {self._replica.url}"
        match response.status:
            case 401 | 403:
                return EngineUnavailableError(f"{at}: the key was refused; check MORGAN_SERVICE_KEY or MORGAN_API_KEYS")
            case 400 if code == "context_length_exceeded":
                return ContextOverflowError(message)
            case 400 | 422 if code in ("unknown_voice", "unknown_language"):
                return ValueError(message)
            case 400 | 413 | 415 | 422:
                return RequestRefusedError(message)
            case 429 | 503 if code in ("busy", "draining"):
                return BusyServiceError(f"{at}: {message}")
        problem = f"status {response.status}: {message}"
        self._replica.failed(time.monotonic(), problem)
        return EngineError(f"{at}: {problem}")


def ticket_fields(ticket: Ticket, now: float) -> dict[str, Any]:
    """A ticket for another process, whose clock is not ours."""
    due = None if ticket.deadline == float("inf") else round((ticket.deadline - now) * 1000)
    return {"urgency": ticket.urgency.name.lower(), "deadline_ms": due, "resting": ticket.resting}


def short(error: BaseException) -> str:
    """An error in a few words."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error)[:200] or type(error).__name__


def _told(body: bytes) -> tuple[str, str]:
    """Code and message of an error of ours."""
    try:
        error = json.loads(body)["error"]
        return str(error["code"]), str(error["message"])[:300]
    except (ValueError, KeyError, TypeError):
        return "", body[:100].decode("utf-8", "replace")
