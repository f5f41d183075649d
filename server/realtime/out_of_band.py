"""Responses beside the conversation (`conversation: "none"`): made while the call goes on, and no part of it."""

import asyncio
import base64
from dataclasses import replace

import structlog

from media.telephone_band import WireEncoder
from pipeline.call.events import ReplyDone, TokenUsage
from pipeline.call.reply.shown_images import reply_to
from pipeline.call.wish import ReplyWish
from pipeline.engines.protocols import RequestRefusedError
from pipeline.scheduling.lanes import Ticket, Urgency
from pipeline.text.chunker import TextChunker
from pipeline.text.spoken import speak
from server.realtime.client_events import ResponseWanted
from server.realtime.errors import RealtimeError, unsupported
from server.realtime.responses import Response, Told
from server.realtime.session_view import SessionView

MOST = 4
"""Such responses of one session at the same time."""

log = structlog.get_logger(__name__)


class OutOfBand:
    """Makes the out-of-band responses of one session.

    Args:
        view: of the session.
    """

    def __init__(self, view: SessionView) -> None:
        self._view = view
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._tickets: dict[str, Ticket] = {}

    def begin(self, wanted: ResponseWanted, wish: ReplyWish) -> None:
        """Make a response.

        Raises:
            RealtimeError: there are too many, or it would have to be spoken over the media track.
        """
        options = self._view.call.options
        spoken = wish.is_spoken(options)
        if spoken and self._view.port is None:
            message = 'Over WebRTC a response beside the conversation is text: ask for output_modalities ["text"]'
            raise unsupported("response.output_modalities", message)
        if len(self._tasks) >= MOST:
            raise RealtimeError("too_many_responses", f"At most {MOST} responses beside the conversation at a time")
        view = self._view
        response = view.make_response(view.new_id("resp"), view.new_id("item"), spoken, wanted, None)
        ticket = self._tickets[response.id] = Ticket(Urgency.RUNNING_DRY)
        task = asyncio.create_task(self._make(response, wish, ticket), name="out-of-band response")
        self._tasks[response.id] = task
        task.add_done_callback(lambda _: self._forget(response.id))

    def cancel(self, response_id: str) -> bool:
        """Give one up; False where there is none of this id."""
        task = self._tasks.get(response_id)
        if task is None:
            return False
        self._tickets[response_id].cancel()
        task.cancel()
        return True

    def close(self) -> None:
        """Give all of them up."""
        for response_id in tuple(self._tasks):
            self.cancel(response_id)

    def _forget(self, response_id: str) -> None:
        self._tasks.pop(response_id, None)
        self._tickets.pop(response_id, None)

    def _tell(self, told: list[Told]) -> None:
        for kind, fields in told:
            self._view.tell(kind, fields)

    async def _make(self, response: Response, wish: ReplyWish, ticket: Ticket) -> None:
        self._tell(list(response.created()))
        done = ReplyDone(response.id, response.item_id, "completed", None, "")
        try:
            done = await self._generate(response, wish, ticket, done)
        except asyncio.CancelledError:
            done = replace(done, status="cancelled", reason="client_cancelled", text=response.text)
        except RequestRefusedError as error:
            log.error("out-of-band response refused", error=type(error).__name__)
            done = replace(done, status="failed", text=response.text)
        except Exception as error:
            log.exception("out-of-band response failed", error=str(error))
            done = replace(done, status="failed", text=response.text)
        finally:
            self._tell(list(response.done(done)))

    async def _generate(self, response: Response, wish: ReplyWish, ticket: Ticket, done: ReplyDone) -> ReplyDone:
        actor, options = self._view.call.actor, self._view.call.options
        request = wish.request(actor.machine.context, options)
        # Its prefix is not the conversation's.
        request = replace(request, conversation=response.id)
        chunker, encoder = TextChunker(options.language or "en"), self._view.encoder()
        loop = asyncio.get_running_loop()
        async for delta in reply_to(self._view.call.engines.llm, request, ticket):
            if delta.text:
                self._tell(list(response.add_text(delta.text)))
                await self._say(response, wish, chunker.push(delta.text, loop.time()), ticket, encoder)
            if delta.finish_reason is not None:
                usage = TokenUsage(delta.prompt_tokens, delta.completion_tokens)
                done = replace(done, usage=usage if usage.prompt else None, cut_short=delta.finish_reason == "length")
            for call in delta.tool_calls:
                self._tell(list(response.add_call(self._view.new_id("item"), call, by_client=True)))
        await self._say(response, wish, chunker.finish(), ticket, encoder)
        text = response.text.strip()
        self._tell(list(response.end_text(text)))
        return replace(done, text=text)

    async def _say(
        self, response: Response, wish: ReplyWish, pieces: list[str], ticket: Ticket, encoder: WireEncoder
    ) -> None:
        if not response.speaks:
            return
        options = self._view.call.options
        for piece in pieces:
            text = speak(piece, options.language or "en").text
            voice = wish.voice or options.voice
            if not text.strip():
                continue
            async for chunk in self._view.call.engines.tts.synthesize(text, ticket, voice=voice, speed=options.speed):
                data = base64.b64encode(encoder.encode(chunk.pcm)).decode()
                self._tell(list(response.add_audio(data)))
