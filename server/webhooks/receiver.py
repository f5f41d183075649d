"""One receiver of webhooks: signs, sends, and tries again for as long as it makes sense.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus

import aiohttp
import structlog
from standardwebhooks import Webhook

from persistence.backoff import Backoff
from persistence.tasks import ended, keep_running
from server.observability.metrics import Metrics
from server.version import version
from server.webhooks.held_spool import HeldSpool
from server.webhooks.message import Message
from server.webhooks.spool import Spool

log = structlog.get_logger(__name__)

REFUSALS = frozenset(range(400, 500)) - {408, 409, 425, 429}
"""Statuses by which a receiver says that it will not take this message later either."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a receiver is waited for.

    Attributes:
        timeout_s: for the answer to one attempt.
        first_s: after the first failure; twice as long after each further one ...
        longest_s: ... up to this.
        keep_s: age at which a message is given up.
        refused: attempts at a message that the receiver refuses.
    """

    timeout_s: float = 15.0
    first_s: float = 5.0
    longest_s: float = 600.0
    keep_s: float = 3 * 86_400.0
    refused: int = 4


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attempt.

    Attributes:
        status: of the answer; 0 where there was none.
        problem: in words; empty where it was taken.
        after_s: how long the receiver asks to be left alone.
    """

    status: int
    problem: str = ""
    after_s: float = 0.0

    @property
    def taken(self) -> bool:
        """Whether the receiver has the message."""
        return not self.problem

    @property
    def refused(self) -> bool:
        """Whether it says that it never will."""
        return self.status in REFUSALS


class Receiver:
    """Sends what is in a spool, in order, one message at a time.

    Args:
        url: of the receiver.
        secret: that messages are signed with.
        spool: where they wait; opened and closed with this.
        http: connections, to addresses that webhooks may go to.
        metrics: what is counted.
        patience: see there.
    """

    def __init__(
        self,
        url: str,
        secret: str,
        spool: Spool | HeldSpool,
        http: aiohttp.ClientSession,
        metrics: Metrics,
        patience: Patience,
    ) -> None:
        self.url = url
        self.spool = spool
        self._signer = Webhook(secret)
        self._http = http
        self._metrics = metrics
        self._patience = patience
        self._task: asyncio.Task[None] | None = None
        self._sending: Message | None = None
        self._dropped = asyncio.Event()

    async def open(self) -> None:
        """Begin to send, with what earlier runs left first. Raises as `Spool.open`."""
        await self.spool.open()
        if self.spool.pending:
            log.info("webhooks of earlier runs are sent", url=self.url, messages=self.spool.pending)
        self._task = keep_running(self._send_all, "webhooks")

    async def close(self) -> None:
        """Stop; what was not sent is sent by the next run."""
        if self._task is not None:
            await self.spool.settle()
            await ended([self._task])
            await self.spool.close()

    async def leave_out(self, unwanted: Callable[[Message], bool]) -> None:
        """Send none of the messages that fit, from now on, and keep none."""
        await self.spool.leave_out(unwanted)
        if self._sending is not None and unwanted(self._sending):
            self._dropped.set()

    async def attempt(self, message: Message) -> Outcome:
        """Send a message once. Redirects are not followed, and nothing of the answer but its head is read."""
        now = datetime.now(tz=UTC)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"Morgan/{version()}",
            "webhook-id": message.id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signer.sign(message.id, now, message.body.decode()),
        }
        timeout = aiohttp.ClientTimeout(total=self._patience.timeout_s)
        try:
            async with self._http.post(
                self.url, data=message.body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                status, after = response.status, response.headers.get("Retry-After", "")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Outcome(0, str(error)[:200] or type(error).__name__)
        if 200 <= status < 300:
            return Outcome(status)
        after_s = float(after) if after.isascii() and after.isdigit() and len(after) < 6 else 0.0
        known = status in HTTPStatus.__members__.values()
        return Outcome(status, f"status {status}" + (f" ({HTTPStatus(status).phrase})" if known else ""), after_s)

    async def _send_all(self) -> None:
        while True:
            number, message = await self.spool.next()
            self._sending = message
            self._dropped.clear()
            await self._send(message)
            self._sending = None
            await self.spool.done(number)

    async def _send(self, message: Message) -> None:
        """Send a message until it is taken, given up or left out."""
        patience, refused = self._patience, 0
        backoff = Backoff(patience.first_s, patience.longest_s)
        while not self._dropped.is_set():
            outcome = await self.attempt(message)
            if outcome.taken:
                self._metrics.webhook("delivered")
                return
            self._metrics.webhook("failed")
            refused += outcome.refused
            # Gone, says 410, for good: the message need not be shown again.
            over = refused >= patience.refused or outcome.status == HTTPStatus.GONE
            if over or time.time() - message.at > patience.keep_s:
                self._metrics.webhook("given_up")
                log.error("webhook given up", url=self.url, message_id=message.id, problem=outcome.problem)
                return
            log.warning("webhook not taken", url=self.url, message_id=message.id, problem=outcome.problem)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(max(backoff.failed(), outcome.after_s), patience.longest_s)):
                    await self._dropped.wait()
