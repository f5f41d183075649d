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
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

import aiohttp
import structlog

from pipeline.engines.llm.context_window import ContextOverflowError
from pipeline.engines.protocols import EngineError, RequestRefusedError
from pipeline.engines.remote.replicas import Replica, Replicas
from pipeline.engines.remote.reply import BusyServiceError, Question, ServiceOptions, ServiceReply, short, ticket_fields
from pipeline.scheduling.cores import CORES
from pipeline.scheduling.lane_load import LaneLoad
from pipeline.scheduling.lanes import LaneClosedError, LaneFullError, Ticket

PROBE_S = 5.0
"""How often a server that works is asked whether it does; one that does not is asked every `RETRY_S`."""

RETRY_S = 0.2
"""Pause between two tries, and two probes, when no server is there."""

log = structlog.get_logger(__name__)


class RemoteService:
    """One service, however many servers it has.

    Args:
        name: "llm", "tts" or "stt", for messages.
        urls: of the servers' roots.
        options: see `ServiceOptions`.

    Attributes:
        options: as above.
        load: of the work in flight, as a lane counts it.
        replicas: the servers.
    """

    def __init__(self, name: str, urls: Sequence[str], options: ServiceOptions | None = None) -> None:
        self.name = name
        self.load = LaneLoad()
        self.replicas = Replicas(urls)
        self.options = options or ServiceOptions()
        self._headers = {"Authorization": f"Bearer {self.options.api_key}"} if self.options.api_key else {}
        self._http: aiohttp.ClientSession | None = None
        self._prober: asyncio.Task[None] | None = None
        self._telling: set[asyncio.Task[None]] = set()
        self._closed = False

    @contextlib.asynccontextmanager
    async def ask(self, question: Question, ticket: Ticket) -> AsyncIterator[ServiceReply | None]:
        """The answer of a server; None when the ticket was cancelled. Leaving the context early stops the work.

        Raises:
            EngineError: no server could do it.
            RequestRefusedError, ContextOverflowError, ValueError: no server would ever do this.
            LaneFullError: too much is in flight, or waits at the service.
            LaneClosedError: this was closed.
        """
        with self._place(ticket):
            async with CORES.elsewhere(ticket):
                reply = await self._opened(question, ticket)
                try:
                    yield reply
                finally:
                    if reply is not None:
                        reply.close()

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
        if self.load.running >= self.options.capacity:
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

    async def _opened(self, question: Question, ticket: Ticket) -> ServiceReply | None:
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
            reply = ServiceReply(self, replica, ticket)
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
                asyncio.timeout(self.options.connect_timeout_s),
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
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=self.options.connect_timeout_s)
            self._http = aiohttp.ClientSession(connector=connector, timeout=timeout, headers=self._headers)
            self._prober = asyncio.create_task(self._probe_all(), name=f"probes of {self.name}")
        return self._http

    # Probes ------------------------------------------------------------------------------------------------------

    async def _probe_all(self) -> None:
        """Find out about failures before a call does, and about recoveries at once."""
        await asyncio.gather(*(self._probe_always(replica) for replica in self.replicas.all))

    async def _probe_always(self, replica: Replica) -> None:
        due = 0.0
        while True:
            now = time.monotonic()
            if now >= due or replica.breaker.state(now) != "closed":
                due = now + PROBE_S
                try:
                    await self._probe(replica)
                except Exception as error:  # of any kind: without probes a server that was gone stays so
                    replica.failed(now, short(error))
                    log.exception("a service could not be asked how it does", service=self.name, url=replica.url)
            await asyncio.sleep(RETRY_S)

    async def _probe(self, replica: Replica) -> None:
        began = time.monotonic()
        known_dead = replica.breaker.state(began) != "closed"
        try:
            async with (
                asyncio.timeout(2 * self.options.connect_timeout_s),
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
