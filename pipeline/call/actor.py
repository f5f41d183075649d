"""The call at work: one inbox, one writer, and the tasks that carry the machine's effects to the engines.

Whatever happens is posted to the inbox and applied in the order of arrival, on the event loop, one input at a time;
an input posted while another is applied waits for it. Nothing else writes the call's state.

No exception leaves the actor: `post` is called from the socket and the clock that all calls share. Where the call's own
code raises, its state is not to be trusted any more, so that this call, and no other, says sorry and ends.
"""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import structlog

from pipeline.call.context import Context
from pipeline.call.effect_queue import KEY_BYTES
from pipeline.call.effects import (
    AskTurnModel,
    Cancel,
    DuckAudio,
    Effect,
    Emit,
    FinishAudio,
    FlushAudio,
    Generate,
    PauseAudio,
    Prefill,
    Recall,
    ResumeAudio,
    RunTool,
    Synthesize,
    Transcribe,
    WriteAudio,
)
from pipeline.call.events import CallEnded, CallEvent, CallFault, StateChanged, TokenUsage
from pipeline.call.inputs import (
    AudioHeard,
    HangUp,
    Input,
    PieceEnded,
    PieceSpoken,
    Playhead,
    Remembered,
    ReplyText,
    ReplyTextEnded,
    Tick,
    ToolRan,
    ToolsAsked,
    Transcribed,
    TurnScored,
)
from pipeline.call.memories import Memories
from pipeline.call.options import CallOptions
from pipeline.call.ports import Reminder, Speaker
from pipeline.call.replay.beginning import CallBeginning
from pipeline.call.replay.recorder import InputRecorder
from pipeline.call.reply.last_words import say_last_words
from pipeline.call.reply.playback import play, playhead
from pipeline.call.state import State
from pipeline.call.user.audio_buffer import AudioBuffer
from pipeline.engines.protocols import Engines, ToolCall
from pipeline.scheduling.cores import CORES
from pipeline.scheduling.lanes import Ticket, Urgency
from pipeline.text.reply_length import ReplyLength

TICK_S = 0.1
"""Pause between two ticks while no audio comes; audio itself ticks every 20 ms."""

REST_S = 0.5
"""The same while nobody says anything."""

SAME_S = 0.01
"""Audio that comes together ticks once while nobody says anything."""

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
        on_event: told of every event, on the event loop; must return at once. `CallEnded` is the last; whoever hears it
            has to `close` the actor.
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
        self._reminder = reminder
        self._engines = engines
        self._hearing = AudioBuffer(engines.vad.open_stream())
        self._on_event = on_event
        self._inbox: deque[Input] = deque()
        self._applying = False
        self._tasks: dict[str, set[asyncio.Task[None]]] = {}
        self._interims = 0
        self._question = Ticket()
        self._last_tick = 0.0
        self._resting = False
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
            self._fail(error)
        finally:
            self._applying = False

    async def close(self, reason: str = "hangup") -> None:
        """End the call and everything behind it, failed or not; returns when its tasks are gone."""
        self._closing = True
        self.post(HangUp(reason))
        self._timer.cancel()
        await asyncio.gather(*self._cancel_all(), return_exceptions=True)
        if self._broken is not None:
            self._end_broken(reason)

    # Failing ------------------------------------------------------------------------------------------------

    def _fail(self, error: BaseException) -> None:
        """The call's own code raised: no input is applied any more, the caller is told and the call ends."""
        log.error("call failed", conversation_id=self._options.conversation_id, state=self.state.value, exc_info=error)
        if self._broken is not None:
            return
        connected = self.machine.state not in (State.CONNECTING, State.ENDED)
        self._broken = State.SPEAKING
        self._inbox.clear()
        self._timer.cancel()
        self._cancel_all()
        self._tell(CallFault(BROKEN, "something failed inside this call, which has to end"))
        if connected and not self._closing:
            self._tell(StateChanged(State.SPEAKING))
            self._start("last words", self._say_last_words())
        else:
            self._end_broken(BROKEN)

    async def _say_last_words(self) -> None:
        options = self._options
        try:
            await say_last_words(options.farewell, self._engines.tts, self._voices, self._speaker, options.speed)
        except Exception as error:
            log.warning("a failed call ends without a word", error=repr(error))
        self._end_broken(BROKEN)

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

    def _cancel_all(self) -> list[asyncio.Task[None]]:
        """Cancel the tasks of all groups; returns those that are still to end."""
        tasks = [task for group in self._tasks.values() for task in group]
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        return tasks

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
        if self._resting and self.state is not State.LISTENING:
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
        self._resting = self.state is State.LISTENING
        self._timer = asyncio.get_running_loop().call_later(REST_S if self._resting else TICK_S, self._on_timer)

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
                    for task in self._tasks.pop(effect.group, ()):
                        task.cancel()
                case Transcribe():
                    self._start(effect.group, self._transcribe(effect))
                case AskTurnModel():
                    self._question.cancel()
                    self._question = Ticket(effect.ticket.urgency, effect.ticket.deadline)
                    self._start(effect.group, self._ask_turn_model(effect, self._question))
                case Generate():
                    self._start(effect.group, self._generate(effect))
                case RunTool():
                    self._start(effect.group, self._run_tool(effect))
                case Prefill():
                    self._start(effect.group, self._prefill(effect))
                case Synthesize():
                    self._start(effect.group, self._synthesize(effect))
                case Recall():
                    self._start(effect.group, self._recall(effect))
                case WriteAudio() | FinishAudio() | FlushAudio() | PauseAudio() | ResumeAudio() | DuckAudio():
                    play(effect, self._speaker)

    def _start(self, group: str, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        tasks = self._tasks.setdefault(group, set())
        tasks.add(task)

        def done(task: asyncio.Task[None]) -> None:
            tasks.discard(task)
            if not tasks and self._tasks.get(group) is tasks:
                del self._tasks[group]
            error = None if task.cancelled() else task.exception()
            if error is not None:
                self._fail(error)

        task.add_done_callback(done)

    # Work -----------------------------------------------------------------------------------------------

    async def _transcribe(self, work: Transcribe) -> None:
        if work.optional and (self._interims or not CORES.spare()):
            self.post(Transcribed(work.job, None))
            return
        self._interims += work.optional
        try:
            transcript = await self._engines.stt.transcribe(
                self._hearing.slice(work.start, work.end),
                work.ticket,
                language=work.language,
                prior=work.prior,
                prompt=work.prompt,
                retry=not work.optional,
            )
        except Exception as error:
            log.exception("transcription failed", error=str(error))
            self.post(Transcribed(work.job, None))
        else:
            self.post(Transcribed(work.job, transcript))
        finally:
            self._interims -= work.optional

    async def _ask_turn_model(self, work: AskTurnModel, ticket: Ticket) -> None:
        """A later question takes the place of this one; so does the end of the turn, with which words are hurried."""

        def outdated(draft: Ticket) -> None:
            if draft.cancelled or draft.urgency < Urgency.SPECULATION:
                ticket.cancel()

        work.ticket.watch(outdated)
        try:
            score = await self._engines.turn.completeness(self._hearing.slice(work.start, work.end), ticket)
        except Exception as error:
            log.exception("turn model failed", error=str(error))
            self.post(TurnScored(work.job, None))
        else:
            self.post(TurnScored(work.job, score))
        finally:
            work.ticket.unwatch(outdated)

    async def _generate(self, work: Generate) -> None:
        failed, thought, said = False, False, False
        calls: tuple[ToolCall, ...] = ()
        usage: TokenUsage | None = None
        cut_short = False
        length = ReplyLength(work.request.asked, self._options.instructions) if self._options.short_replies else None
        try:
            async with aclosing(self._engines.llm.stream(work.request, work.ticket)) as deltas:  # type: ignore[type-var]
                async for delta in deltas:
                    text = length.feed(delta.text) if length else delta.text
                    if text:
                        self.post(ReplyText(work.reply, text))
                    elif delta.thinking:
                        self.post(ReplyText(work.reply, "", thinking=True))
                    thought, said = thought or delta.thinking, said or bool(text.strip())
                    if length and length.ended:
                        break
                    calls = delta.tool_calls
                    if delta.prompt_tokens or delta.completion_tokens:
                        usage = TokenUsage(delta.prompt_tokens, delta.completion_tokens)
                    cut_short = delta.finish_reason == "length"
        except Exception as error:
            log.exception("language model failed", error=str(error))
            failed = True
        # Nobody is met with silence: a model that has thought and said nothing has failed.
        failed = failed or (thought and not said and not calls and not work.ticket.cancelled)
        if calls and not failed:
            self.post(ToolsAsked(work.reply, calls, usage))
        else:
            self.post(ReplyTextEnded(work.reply, failed, usage, cut_short))

    async def _run_tool(self, work: RunTool) -> None:
        self.post(ToolRan(work.reply, work.job, await self._options.tools.run(work.call)))

    async def _prefill(self, work: Prefill) -> None:
        try:
            await self._engines.llm.prefill(work.request, work.ticket)
        except Exception as error:
            log.warning("prefill failed", error=str(error))

    async def _recall(self, work: Recall) -> None:
        memories: Memories = ()
        try:
            if self._reminder is not None:
                memories = await self._reminder.remind(work.text)
        except Exception as error:
            log.exception("nothing recalled", error=str(error))
        self.post(Remembered(work.job, memories))

    async def _synthesize(self, work: Synthesize) -> None:
        failed = False
        try:
            async for chunk in self._engines.tts.synthesize(work.text, work.ticket, voice=work.voice, speed=work.speed):
                self.post(PieceSpoken(work.reply, work.piece, chunk))
        except Exception as error:
            log.exception("text to speech failed", error=str(error))
            failed = True
        self.post(PieceEnded(work.reply, work.piece, failed))
