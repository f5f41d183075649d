"""Items that clients create with audio in them: transcribed, and then part of the conversation."""

import asyncio
from collections.abc import Callable

import numpy as np
import structlog

from media.values import RECEIVE_RATE, Pcm
from pipeline.audio import to_waveform
from pipeline.scheduling.lanes import Ticket, Urgency
from server.realtime.audio_format import Decoder
from server.realtime.client_events import ContentPart, Item, MessageItem
from server.realtime.errors import RealtimeError
from server.realtime.items import Json
from server.realtime.session_view import SessionView
from server.realtime.told import completed

MOST_S = 120
"""Seconds of audio in one item."""

MOST_WAITING = 8
"""Items that wait to be transcribed."""

log = structlog.get_logger(__name__)


class SpokenItems:
    """Transcribes items, one after the other.

    Args:
        view: of the session.
        insert: puts an item with an id into the conversation, behind another one.
    """

    def __init__(self, view: SessionView, insert: Callable[[Item, str, str | None], None]) -> None:
        self._view = view
        self._insert = insert
        self._waiting: list[tuple[MessageItem, list[Pcm], str | None]] = []
        self._task: asyncio.Task[None] | None = None
        self._then: list[Callable[[], None]] = []

    @property
    def busy(self) -> bool:
        """Whether the words of an item are still to be found out."""
        return bool(self._waiting)

    def then(self, what: Callable[[], None]) -> None:
        """Do something when they are all known."""
        if len(self._then) >= MOST_WAITING:
            raise RealtimeError("too_many_events", "Too many events wait for the audio before them")
        self._then.append(what)

    def create(self, item: MessageItem, after: str | None) -> None:
        """Put an item into the conversation once its words are known.

        Raises:
            RealtimeError: its audio is none, too long, or too much waits already.
        """
        if len(self._waiting) >= MOST_WAITING:
            raise RealtimeError("too_many_events", f"At most {MOST_WAITING} items wait to be transcribed")
        sound = [self._decoded(part, index) for index, part in enumerate(item.content)]
        self._waiting.append((item, sound, after))
        if self._task is None:
            self._task = asyncio.create_task(self._work(), name="spoken items")

    def close(self) -> None:
        """The session is over."""
        if self._task is not None:
            self._task.cancel()

    def _decoded(self, part: ContentPart, index: int) -> Pcm:
        if not part.audio or part.transcript:
            return np.zeros(0, np.int16)
        decoder = Decoder(self._view.config.input_format)
        pcm = decoder.decode(part.audio, f"item.content[{index}].audio", last=True)
        if len(pcm) > MOST_S * RECEIVE_RATE:
            message = f"An item may have at most {MOST_S} s of audio."
            raise RealtimeError("invalid_value", message, f"item.content[{index}].audio")
        return pcm

    async def _work(self) -> None:
        while self._waiting:
            item, sound, after = self._waiting[0]
            try:
                await self._put(item, sound, after)
            except Exception:  # of any kind: the items behind it are waited for
                log.exception("item with audio not put into the conversation")
            self._waiting.pop(0)
        self._task = None
        waiting, self._then = self._then, []
        for what in waiting:
            try:
                what()
            except Exception:
                log.exception("work behind an item with audio failed")

    async def _put(self, item: MessageItem, sound: list[Pcm], after: str | None) -> None:
        options = self._view.call.options
        item_id = item.id or self._view.new_id("item")
        seconds = sum(len(pcm) for pcm in sound) / RECEIVE_RATE
        try:
            for part, pcm in zip(item.content, sound, strict=True):
                if len(pcm):
                    ticket = Ticket(Urgency.FINAL_TRANSCRIPT)
                    heard = await self._view.call.engines.stt.transcribe(
                        to_waveform(pcm), ticket, language=options.language or None, prompt=options.stt_prompt
                    )
                    part.transcript = heard.text
        except Exception as error:
            log.exception("transcription failed", error=str(error))
            self._insert(item, item_id, after)
            self._tell_untranscribed(item_id)
            return
        self._insert(item, item_id, after)
        self._tell_transcript(item_id, item.words(), seconds)

    def _tell_transcript(self, item_id: str, text: str, seconds: float) -> None:
        """The audio of an item was transcribed."""
        self._view.events.transcribed(item_id, text)
        place = {"item_id": item_id, "content_index": 0}
        self._view.tell("conversation.item.input_audio_transcription.completed", {**place, **completed(text, seconds)})

    def _tell_untranscribed(self, item_id: str) -> None:
        """The audio of an item could not be transcribed."""
        error = {"type": "transcription_error", "code": "transcription_failed", "message": "speech to text failed"}
        place: Json = {"item_id": item_id, "content_index": 0, "error": error}
        self._view.tell("conversation.item.input_audio_transcription.failed", place)
