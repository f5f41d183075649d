"""The way to one of Morgan's own services in other processes: kept connections, several servers, tickets that travel.

A piece of work goes to the server with the least in hand. Until the first byte of the answer it goes to another one
when that fails, with everything that it was sent; after that a failure is a failure, for half an answer is out.
Its `Ticket` goes along in headers, is told again when its urgency changes, and when it is cancelled, or its iterator
closed, the connection is closed, which the service takes for the end of the work.
"""

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp
import httpx
import structlog

from pipeline.engines.context_window import ContextOverflowError
from pipeline.engines.protocols import EngineError, EngineUnavailableError, RequestRefusedError
from pipeline.engines.remote_replicas import Replica, Replicas
from pipeline.lanes import PRECEDENCE, YIELD_S, LaneClosedError, LaneFullError, LaneLoad, Ticket, Urgency

T = TypeVar("T")

TICKET, URGENCY, DEADLINE = "X-Morgan-Ticket", "X-Morgan-Urgency", "X-Morgan-Deadline-Ms"
"""Headers: a name by which the work can be spoken of, the name of its urgency, milliseconds until it is due."""

LOOK_S = 0.01
"""How often a ticket in flight is looked at."""

PROBE_S = 5.0
"""How often a server that works is asked whether it does; one that does not is asked after each pause."""

RETRY_S = 0.2
"""Pause between two tries when no server is there and the work is worth waiting for one."""

log = structlog.get_logger(__name__)


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


class RemoteService:
    """One service, however many servers it has.

    Args:
        name: "llm", "tts" or "stt", for messages.
        urls: of the servers' roots.
        options: see `ServiceOptions`.

    Attributes:
        load: of the work in flight, as a lane counts it.
        replicas: the servers.
    """

    def __init__(self, name: str, urls: Sequence[str], options: ServiceOptions | None = None) -> None:
        self.name = name
        self.load = LaneLoad()
        self.replicas = Replicas(urls)
        self._options = options or ServiceOptions()
        self._headers = {"Authorization": f"Bearer {self._options.api_key}"} if self._options.api_key else {}
        self._http: aiohttp.ClientSession | None = None
        self._prober: asyncio.Task[None] | None = None
        self._telling: set[asyncio.Task[None]] = set()
        self._closed = False

    @contextlib.asynccontextmanager
    async def ask(self, question: Question, ticket: Ticket) -> AsyncIterator["Reply | None"]:
        """The answer of a server; None when the ticket was cancelled. Leaving the context early stops the work.

        Raises:
            EngineError: no server could do it.
            RequestRefusedError, ContextOverflowError, ValueError: no server would ever do this.
            LaneFullError: too much is in flight, or waits at the service.
            LaneClosedError: this was closed.
        """
        with self._place(ticket):
            while PRECEDENCE.must_wait(ticket) and not ticket.cancelled:  # noqa: ASYNC110 - nothing tells when
                # As a lane would: the service may well share our cores.
                await asyncio.sleep(YIELD_S)
            PRECEDENCE.enter(ticket)
            try:
                reply = await self._opened(question, ticket)
                try:
                    yield reply
                finally:
                    if reply is not None:
                        reply.close()
            finally:
                PRECEDENCE.leave(ticket)

    def describe(self) -> list[dict[str, Any]]:
        """The servers, for `/health`."""
        now = time.monotonic()
        return [
            {
                "url": each.url,
                "state": each.breaker.state(now),
                "in_flight": each.in_flight,
                "round_trip_ms": None if each.round_trip_s is None else round(each.round_trip_s * 1000, 2),
                **({"problem": each.problem} if each.problem else {}),
            }
            for each in self.replicas.all
        ]

    async def close(self) -> None:
        """Close the connections; doing it again does nothing."""
        self._closed = True
        tasks = [*self._telling, *([self._prober] if self._prober else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._http is not None:
            await self._http.close()

    @contextlib.contextmanager
    def _place(self, ticket: Ticket) -> Iterator[None]:
        if self._closed:
            raise LaneClosedError(f"the connection to {self.name} is closed")
        if self.load.running >= self._options.capacity:
            self.load.rejected += 1
            raise LaneFullError(f"{self.load.running} requests to {self.name} are in flight")
        began = time.monotonic()
        self.load.running += 1
        try:
            yield
        finally:
            self.load.running -= 1
            self.load.busy_s += time.monotonic() - began
            if ticket.cancelled:
                self.load.dropped += 1
            else:
                self.load.done += 1

    async def _opened(self, question: Question, ticket: Ticket) -> "Reply | None":
        """The beginning of an answer, of whichever server gives one."""
        until = time.monotonic() + question.patience_s
        tried: list[Replica] = []
        problem: Exception | None = None
        while not ticket.cancelled:
            replica = self.replicas.next(time.monotonic(), tried, question.conversation)
            if replica is None:
                if time.monotonic() >= until:
                    raise problem or EngineError(f"{self.name}: no server is there ({self._problems()})")
                tried.clear()
                await asyncio.sleep(RETRY_S)
                continue
            reply = Reply(self, replica, ticket)
            try:
                await reply.open(question)
                return reply
            except (EngineError, BusyServiceError) as error:
                reply.close()
                if isinstance(error, RequestRefusedError | ContextOverflowError):
                    raise
                tried.append(replica)
                problem = error
            except BaseException:
                reply.close()
                raise
        return None

    def _problems(self) -> str:
        return "; ".join(f"{each.url}: {each.problem or 'just failed'}" for each in self.replicas.all)

    def tell(self, replica: Replica, name: str, ticket: Ticket) -> None:
        """Let a server know of a ticket's new urgency; without waiting, and without being missed if it fails."""
        task = asyncio.create_task(self._tell(replica, name, ticket), name=f"urgency for {self.name}")
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell(self, replica: Replica, name: str, ticket: Ticket) -> None:
        body = json.dumps(ticket_fields(ticket, time.monotonic())).encode()
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with (
                asyncio.timeout(self._options.connect_timeout_s),
                self.post(replica, f"/tickets/{name}", body) as response,
            ):
                await response.read()

    def post(
        self,
        replica: Replica,
        path: str,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Any:
        """aiohttp's request to a server."""
        typed = {"Content-Type": "application/json", **(headers or {})}
        return self._session().post(replica.url + path, data=body, headers=typed, params=query or {})

    def _session(self) -> aiohttp.ClientSession:
        """Made when it is first needed: engines are built before there is a loop."""
        if self._http is None:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60.0, ttl_dns_cache=5)
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._options.connect_timeout_s)
            self._http = aiohttp.ClientSession(connector=connector, timeout=timeout, headers=self._headers)
            self._prober = asyncio.create_task(self._probe_all(), name=f"probes of {self.name}")
        return self._http

    # Probes ------------------------------------------------------------------------------------------------------

    async def _probe_all(self) -> None:
        """Find out about failures before a call does, and about recoveries at once."""
        due = dict.fromkeys(self.replicas.all, 0.0)
        while True:
            now = time.monotonic()
            for replica in self.replicas.all:
                closed = replica.breaker.state(now) == "closed"
                if (now >= due[replica]) if closed else replica.breaker.enter(now):
                    due[replica] = now + PROBE_S
                    await self._probe(replica)
            await asyncio.sleep(RETRY_S)

    async def _probe(self, replica: Replica) -> None:
        began = time.monotonic()
        known_dead = replica.breaker.state(began) != "closed"
        try:
            async with (
                asyncio.timeout(2 * self._options.connect_timeout_s),
                self._session().get(f"{replica.url}/health") as response,
            ):
                await response.read()
                status = response.status
        except (aiohttp.ClientError, TimeoutError) as error:
            replica.failed(time.monotonic(), short(error), gone=True)
            if not known_dead:
                log.warning("a service does not answer", service=self.name, url=replica.url, problem=short(error))
            return
        replica.round_trip_s = time.monotonic() - began
        if status >= 500:
            replica.failed(time.monotonic(), f"its health is {status}")
        elif known_dead or replica.problem:
            replica.succeeded()
            log.info("a service answers again", service=self.name, url=replica.url)


class Reply:
    """One server's answer to one piece of work, watched over by the ticket; belongs to `RemoteService.ask`."""

    def __init__(self, service: RemoteService, replica: Replica, ticket: Ticket) -> None:
        self._service = service
        self._replica = replica
        self._ticket = ticket
        self._name = uuid.uuid4().hex
        self._told = ticket.urgency
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
        self._told = self._ticket.urgency
        headers = {TICKET: self._name, URGENCY: fields["urgency"], "Content-Type": question.content_type}
        if fields["deadline_ms"] is not None:
            headers[DEADLINE] = str(fields["deadline_ms"])
        options = self._service._options
        limit_s = options.first_timeout_s if self._told < Urgency.INTERIM else options.idle_timeout_s

        async def send() -> aiohttp.ClientResponse:
            response: aiohttp.ClientResponse = await self._service.post(
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
            raise EngineError(f"{self._service.name} at {self._replica.url}: no JSON; is it a Morgan?") from None

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
        if self._response is not None:
            if self._whole:
                self._response.release()
            else:
                self._response.close()

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        response, limit_s = self._response, self._service._options.next_timeout_s
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
        if self._ticket.urgency != self._told:
            self._told = self._ticket.urgency
            self._service.tell(self._replica, self._name, self._ticket)
        self._timer = self._loop.call_later(LOOK_S, self._look)

    def _failure(self, error: Exception) -> EngineError:
        # A server that is only slow is no dead one: whether it is, the probes find out.
        gone = isinstance(error, aiohttp.ClientConnectorError | aiohttp.ServerDisconnectedError)
        self._replica.failed(time.monotonic(), short(error), gone=gone)
        return EngineError(f"{self._service.name} at {self._replica.url}: {short(error)}")

    async def _refusal(self, response: aiohttp.ClientResponse) -> Exception:
        """What a status of 400 and more means."""
        body = await self._in_time(response.read(), self._service._options.next_timeout_s)
        self._whole = True
        code, message = _told(body)
        at = f"{self._service.name} at {self._replica.url}"
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
    return {"urgency": ticket.urgency.name.lower(), "deadline_ms": due}


def look_up(name: str, urls: Sequence[str], path: str, api_key: str, patience_s: float) -> dict[str, Any]:
    """What the first server that answers tells at a path. Blocks: for the start.

    Args:
        name: of the service.
        urls: of its servers' roots.
        path: such as "/health".
        api_key: empty for none.
        patience_s: how long to wait for a server to come up.

    Raises:
        EngineUnavailableError: none answered in time, or one refused; the message says what to do.
    """
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    until = time.monotonic() + patience_s
    with httpx.Client(timeout=2.0, headers=headers, trust_env=False) as client:
        while True:
            problems = []
            for url in urls:
                try:
                    response = client.get(url.rstrip("/") + path)
                    if response.status_code in (401, 403):
                        raise EngineUnavailableError(
                            f"{url} refused the key: MORGAN_SERVICE_KEY, or the first of MORGAN_API_KEYS, must be one "
                            "of that service's MORGAN_API_KEYS"
                        )
                    response.raise_for_status()
                    told = response.json()
                    if isinstance(told, dict):
                        return told
                    problems.append(f"{url}: not a Morgan")
                except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
                    problems.append(f"{url}: {short(error)}")
            if time.monotonic() >= until:
                raise EngineUnavailableError(
                    f"The {name} service did not answer within {patience_s:.0f} s ({'; '.join(problems)}). Start it "
                    f"(morgan serve --role {name}), or check MORGAN_{name.upper()}_URL"
                )
            time.sleep(RETRY_S)


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
