"""The audio of one call as plain samples, both ways, on the clock that all calls share."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from media.audio_sender import Due
from media.pcm_intake import PcmIntake
from media.playout import Playout
from media.values import FRAME_S, RECEIVE_RATE, AudioFrame, AudioTap, Pcm, PlayoutChange, PlayoutEvent


class PcmListener(Protocol):
    """Who hears from a link. Called on the event loop, must return at once and must not raise."""

    def on_audio(self, frame: AudioFrame) -> None:
        """See `media.values.PeerListener.on_audio`."""

    def on_playout(self, event: PlayoutEvent) -> None:
        """The outgoing queue started (before its first frame is sent), drained or starved (after its last)."""


@dataclass(frozen=True, slots=True)
class PcmStats:
    """Statistics of one link.

    Attributes:
        bytes_received: of audio that was taken.
        bytes_sent: of audio.
        waiting_s: audio that was sent ahead of real time and is not heard yet.
        filled_s: silence that stood in for audio that did not come.
        connected_s: since the link began.
    """

    bytes_received: int
    bytes_sent: int
    waiting_s: float
    filled_s: float
    connected_s: float


class PcmLink:
    """Sound in and out, 20 ms at a time; no I/O of its own, times are `time.monotonic()` seconds.

    Nothing goes out while there is silence, so that a listener who plays what comes as it comes hears sound the sooner
    the sooner it is sent: the first frame does not wait for the clock, and the others come at its ticks.

    Args:
        listener: hears of audio that comes in and of the playout.
        send: takes 20 ms to send now, shape (480,) at `SEND_RATE`; nothing comes while there is silence.
        call_soon: the event loop's, for sound that begins.
        now: when it begins.
        rate: of the audio that comes in (s16le, mono), Hz.
        tap: listens in on both directions.
        lead_frames: of the outgoing audio go out ahead of real time, for a listener who plays what comes as it comes.

    Attributes:
        intake: what has come in.
        playout: what is to go out.
    """

    def __init__(
        self,
        listener: PcmListener,
        send: Callable[[Pcm], None],
        call_soon: Callable[[Callable[[], None]], object],
        now: float,
        rate: int = RECEIVE_RATE,
        tap: AudioTap | None = None,
        lead_frames: int = 0,
    ) -> None:
        self.intake = PcmIntake(rate)
        self.intake.begin(now)
        self.playout = Playout()
        self.playout.read_by(on_begin=lambda: call_soon(self._begin))
        self._listener = listener
        self._send = send
        self._began = now
        self._tap = tap
        self._lead_frames = lead_frames
        self._received = self._sent = 0
        self._closed = False

    def receive(self, data: bytes, now: float) -> None:
        """Take audio in.

        Raises:
            media.pcm_intake.IntakeFullError: the sender is too far ahead; nothing of it was taken.
        """
        self.intake.feed(data, now)
        self._received += len(data)

    def tick(self, due: Due, now: float, *, hear: bool = True) -> None:
        """Hand on what is due, in both directions. What a stall made late goes out now, without gaps.

        Args:
            due: frames.
            now: when it is.
            hear: off, what came in waits until `intake` is drained.
        """
        for frame in self.intake.due(now) if hear else ():
            self._listener.on_audio(frame)
            if self._tap is not None:
                self._tap.on_heard(frame.pcm, frame.said_at)
        for _ in range(due.frames):
            self._advance(now)

    def close(self) -> None:
        """Send nothing more."""
        self._closed = True

    def stats(self, now: float) -> PcmStats:
        """The statistics as of now."""
        intake = self.intake
        return PcmStats(self._received, self._sent, intake.waiting_s, intake.filled_s, now - self._began)

    def _begin(self) -> None:
        if not self._closed:
            self._advance(time.monotonic())

    def _advance(self, now: float) -> None:
        if self._play(now):
            for _ in range(self._lead_frames):
                self._play(now)

    def _play(self, now: float) -> bool:
        """The next 20 ms; returns whether sound began with them."""
        pcm, events = self.playout.next_frame(now)
        for event in events:
            if event.change is PlayoutChange.STARTED:
                self._listener.on_playout(event)
        if pcm is not None:
            self._sent += pcm.nbytes
            self._send(pcm)
        if self._tap is not None:
            self._tap.on_said(pcm, now + FRAME_S)
        for event in events:
            if event.change is not PlayoutChange.STARTED:
                self._listener.on_playout(event)
        return any(event.change is PlayoutChange.STARTED for event in events)
