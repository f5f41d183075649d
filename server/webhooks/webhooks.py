"""All receivers of a server, and what is told to them."""

import asyncio
import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import structlog

from persistence.errors import PersistenceError
from server.observability.metrics import Metrics
from server.settings.webhooks import EVENTS, WebhookEvent
from server.webhooks.held_spool import HeldSpool
from server.webhooks.message import Message
from server.webhooks.receiver import Outcome, Patience, Receiver
from server.webhooks.resolver import GuardedResolver
from server.webhooks.spool import Spool

FOLDER = "webhooks"

log = structlog.get_logger(__name__)


class Webhooks:
    """Tells the receivers; tells nobody before `open`.

    Args:
        urls: of the receivers, each with a spool of its own: one that is down keeps no other waiting.
        secret: that messages are signed with.
        data_dir: the spools are in a folder of it.
        metrics: what is counted.
        events: that are told; by default all.
        private: whether public names may lead to private addresses.
        patience: see there.
        on_disk: whether what waits may stand in a file, where it outlives the process.
    """

    store, part = "webhooks", "messages"

    def __init__(
        self,
        urls: Sequence[str],
        secret: str,
        data_dir: Path,
        metrics: Metrics,
        *,
        events: Collection[str] = EVENTS,
        private: bool = False,
        patience: Patience | None = None,
        on_disk: bool = True,
    ) -> None:
        self._urls = urls
        self._secret = secret
        self._folder = data_dir / FOLDER
        self._metrics = metrics
        self._events = frozenset(events)
        self._private = private
        self._patience = patience or Patience()
        self._on_disk = on_disk
        self._http: aiohttp.ClientSession | None = None
        self._receivers: list[Receiver] = []

    def wants(self, event: WebhookEvent) -> bool:
        """Whether anybody is told of such events."""
        return bool(self._receivers) and event in self._events

    def tell(self, event: WebhookEvent, data: Mapping[str, Any]) -> None:
        """Tell the receivers; returns at once, and what is told is not lost by a restart."""
        if not self.wants(event):
            return
        message = Message.of(event, data)
        for receiver in self._receivers:
            if not receiver.spool.add(message):
                self._metrics.webhook("lost")
                log.error("too many webhooks wait, one is lost", url=receiver.url, message_id=message.id)

    async def open(self) -> None:
        """Begin to send; what keeps a receiver's messages from being kept is told in the log, and calls go on."""
        for receiver in self._made():
            try:
                await receiver.open()
            except (PersistenceError, OSError) as error:
                log.error("no webhooks", url=receiver.url, problem=str(error))
            else:
                self._receivers.append(receiver)

    async def count(self, user_id: str) -> int:
        """How many messages about a user wait."""
        counts = [await receiver.spool.count(lambda each: each.of_user(user_id)) for receiver in self._receivers]
        return sum(counts)

    async def delete(self, user_id: str, conversation_id: UUID | None = None) -> None:
        """Tell nobody what waits about a user, or (with one) about a conversation."""
        for receiver in self._receivers:
            await receiver.leave_out(lambda each: each.of_user(user_id, conversation_id))

    async def try_each(self) -> list[tuple[str, Outcome]]:
        """Send each receiver a message `webhook.test`, once and past the spools; what came of it, by URL."""
        message = Message.of("webhook.test", {})
        return [(receiver.url, await receiver.attempt(message)) for receiver in self._made()]

    async def close(self) -> None:
        """Stop; what was not sent is sent by the next run."""
        receivers, self._receivers = self._receivers, []
        await asyncio.gather(*(receiver.close() for receiver in receivers))
        if self._http is not None:
            await self._http.close()

    def _made(self) -> list[Receiver]:
        if self._urls and self._http is None:
            connector = aiohttp.TCPConnector(resolver=GuardedResolver(private=self._private))
            self._http = aiohttp.ClientSession(connector=connector, trust_env=False)
        made = []
        for url in self._urls:
            assert self._http is not None
            kept = Spool if self._on_disk else HeldSpool
            spool = kept(self._folder / hashlib.sha256(url.encode()).hexdigest()[:16])
            made.append(Receiver(url, self._secret, spool, self._http, self._metrics, self._patience))
        return made
