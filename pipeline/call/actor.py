"""The actor of a call: one inbox, one writer of its state, and a boundary that no exception leaves.

Whatever happens is posted to the inbox and applied in the order of arrival, on the event loop, one input at a time;
an input posted while another is applied waits for it. Nothing else writes the call's state. What the machine wants of
engines is done by tasks (`pipeline.call.engine_work`), which post what comes of it.

No exception leaves the actor: `post` is called from the socket and the clock that all calls share. Where the call's own
code raises, its state is not to be trusted any more, so that this call, and no other, says sorry and ends.
"""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable

import structlog

from pipeline.call.context import Context
from pipeline.call.effect_queue import KEY_BYTES
from pipeline.call.effects import (
    Cancel,
    DuckAudio,
    Effect,
    Emit,
    FinishAudio,
    FlushAudio,
    PauseAudio,
    ResumeAudio,
    WriteAudio,
)
from pipeline.call.engine_work import EngineWork
from pipeline.call.events import CallEnded, CallEvent, CallFault, StateChanged
from pipeline.call.inputs import AudioHeard, HangUp, Input, Playhead, Tick
from pipeline.call.options import CallOptions
from pipeline.call.ports import Reminder, Speaker
from pipeline.call.replay.beginning import CallBeginning
from pipeline.call.replay.recorder import InputRecorder
from pipeline.call.reply.last_words import say_last_words
from pipeline.call.reply.playback import play, playhead
from pipeline.call.state import State
from pipeline.call.user.audio_buffer import AudioBuffer
from pipeline.engines.protocols import Engines

TICK_S = 0.1
"""Pause between two ticks while no audio comes; audio itself ticks every 20 ms."""

REST_S = 0.5
"""The same while neither side says anything."""

SAME_S = 0.01
"""Audio that comes together ticks once while neither side says anything."""

INBOX = 2_000
"""Inputs that may wait; more than that means that the loop is stuck, and audio is what gets dropped."""

BROKEN = "internal_error"
"""Code of the fault, and reason of the end, of a call whose own code raised."""

log = structlog.get_logger(__name__)


class CallActor:
    """Runs one call.

    Args:
        options: of the call.
        engines: shared by all calls.
        speaker: the outgoing audio.
        context: the conversation so far.
        on_event: told of every event, on the event loop; must return at once. `CallEnded` is the last, upon which the
            owner has to `close` the actor.
        reminder: knows what the user said in earlier conversations; None for no reminding.
        recorder: takes down all that the machine is told and wants; None where that is not asked for.

    Attributes:
        network_delay_s: that a frame takes to the user's ear, see `Playhead`.
    """

    def __init__(
        self,
        options: CallOptions,
        engines: Engines,
        speaker: Speaker,
        context: Context,
        on_event: Callable[[CallEvent], None],
        reminder: Reminder | None = None,
        recorder: InputRecorder | None = None,
    ) -> None:
        beginning = CallBeginning(
            options,
            context,
            tuple(engines.tts.voices),
            engines.tts.default_voice,
            recall_s=reminder.budget_s if reminder else 0.0,
            key=secrets.token_bytes(KEY_BYTES),
        )
        self.machine = beginning.machine()
        self.network_delay_s = Playhead().delay_s
        self._recorder = recorder
        if recorder is not None:
            recorder.begin(beginning)
        self._voices = beginning.voice_choice()
        self._speaker = speaker
        self._options = options
        self._broken: State | None = None
        self._closing = False
        self._engines = engines
        self._hearing = AudioBuffer(engines.vad.open_stream())
        self._on_event = on_event
        self._inbox: deque[Input] = deque()
        self._applying = False
        self._work = EngineWork(engines, options, self._hearing, reminder, self.post, self.fail)
        self._last_tick = 0.0
        self._ticks_seldom = False
        self._arm()

    @property
    def state(self) -> State:
        """What the call is doing; of a broken one, whether it still says its last words."""
        return self._broken or self.machine.state

    def post(self, message: Input) -> None:
        """Put an input into the inbox; it is applied before this returns, unless another one is being applied.

        Never raises. What comes for a call that has failed is forgotten.
        """
        if self._broken is not None:
            return
        if len(self._inbox) >= INBOX and isinstance(message, AudioHeard):
            self.machine.counts["audio_dropped"] += 1
            return
        self._inbox.append(message)
        if self._applying:
            return
        self._applying = True
        try:
            while self._inbox and self._broken is None:
                self._apply(self._inbox.popleft())
        except Exception as error:
            self.fail(error)
        finally:
            self._applying = False

    async def close(self, reason: str = "hangup") -> None:
        """End the call and everything behind it, failed or not; returns when its tasks are gone."""
        self._closing = True
        self.post(HangUp(reason))
        self._timer.cancel()
        await asyncio.gather(*self._work.cancel_all(), return_exceptions=True)
        if self._broken is not None:
            self._end_broken(reason)

    # Failing ------------------------------------------------------------------------------------------------

    def fail(self, error: BaseException) -> None:
        """The call's own code raised: no input is applied any more, the caller is told and the call ends.

        Never raises. What else fails in a call that has failed is nothing new.
        """
        if self._broken is not None:
            return
        log.error("call failed", conversation_id=self._options.conversation_id, state=self.state.value, exc_info=error)
        connected = self.machine.state not in (State.CONNECTING, State.ENDED)
        self._broken = State.SPEAKING
        self._inbox.clear()
        self._timer.cancel()
        self._work.cancel_all()
        self._tell(CallFault(BROKEN, "something failed inside this call, which has to end"))
        if connected and not self._closing:
            self._tell(StateChanged(State.SPEAKING))
            self._work.start("last words", self._say_last_words())
        else:
            self._end_broken(BROKEN)

    async def _say_last_words(self) -> None:
        options = self._options
        try:
            text, language = options.phrase("farewell", self._spoken())
            await say_last_words(text, language, self._engines.tts, self._voices, self._speaker, options.speed)
        except Exception as error:
            log.warning("a failed call ends without a word", error=repr(error))
        self._end_broken(BROKEN)

    def _spoken(self) -> str:
        """The language, ISO 639-1, that the caller hears; the voice's where the machine is too broken to say."""
        try:
            heard = self.machine.requests.language
        except Exception:  # of any kind, as all that the machine does now
            heard = ""
        heard = heard or self._voices.language or "en"
        return self._voices.prepared_in(self._voices.speaking(heard), heard)

    def _end_broken(self, reason: str) -> None:
        if self._broken is not State.ENDED:
            self._broken = State.ENDED
            self._tell(StateChanged(State.ENDED))
            self._tell(CallEnded(reason))

    def _tell(self, event: CallEvent) -> None:
        """Tell of an event of a failed call; who listens may be what has failed."""
        try:
            self._on_event(event)
        except Exception as error:
            log.error("not told", event_type=type(event).__name__, exc_info=error)

    # Applying -----------------------------------------------------------------------------------------------

    def _apply(self, message: Input) -> None:
        now = time.monotonic()
        if isinstance(message, AudioHeard):
            echo = self.state is State.SPEAKING
            for voice in self._hearing.add(message.pcm, message.at, missing=message.missing, echo=echo):
                self._handle(voice, now)
            if self.state is State.LISTENING and now - self._last_tick < SAME_S:
                return
            message = Tick()
        if isinstance(message, Tick):
            self._last_tick = now
        self._handle(message, now)
        if self._ticks_seldom and self.state is not State.LISTENING:
            self._timer.cancel()
            self._arm()

    def _handle(self, message: Input, now: float) -> None:
        head = playhead(self._speaker, self.network_delay_s)
        effects = self.machine.handle(message, now, head)
        if self._recorder is not None:
            self._recorder.note(message, now, head, effects)
        self._run(effects)

    def _arm(self) -> None:
        """Tick without audio, too; often while something goes on."""
        self._ticks_seldom = self.state is State.LISTENING
        self._timer = asyncio.get_running_loop().call_later(REST_S if self._ticks_seldom else TICK_S, self._on_timer)

    def _on_timer(self) -> None:
        if self.state is State.ENDED:
            return
        self._arm()
        if time.monotonic() - self._last_tick >= TICK_S:
            self.post(Tick())

    def _run(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Emit():
                    self._on_event(effect.event)
                case Cancel():
                    self._work.cancel(effect.group)
                case WriteAudio() | FinishAudio() | FlushAudio() | PauseAudio() | ResumeAudio() | DuckAudio():
                    play(effect, self._speaker)
                case _:
                    self._work.begin(effect)
