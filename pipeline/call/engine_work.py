"""Tasks of a call that carry the machine's effects to the engines and post what comes of them.

Each belongs to a group, which is cancelled as a whole. What an engine raises is logged and posted as a failure.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import TypeAlias, assert_never

import structlog

from pipeline.call.effects import AskTurnModel, Generate, Prefill, Recall, RunTool, Synthesize, Transcribe
from pipeline.call.events import TokenUsage
from pipeline.call.inputs import (
    Input,
    PieceEnded,
    PieceSpoken,
    Remembered,
    ReplyText,
    ReplyTextEnded,
    ToolRan,
    ToolsAsked,
    Transcribed,
    TurnScored,
)
from pipeline.call.memories import Memories
from pipeline.call.options import CallOptions
from pipeline.call.ports import Reminder
from pipeline.call.reply.shown_images import reply_to
from pipeline.call.user.audio_buffer import AudioBuffer
from pipeline.engines.device import device_of
from pipeline.engines.protocols import Engines, RequestRefusedError, ToolCall
from pipeline.scheduling.cores import slots_of
from pipeline.scheduling.lanes import Ticket, Urgency
from pipeline.text.reply_length import ReplyLength

Work: TypeAlias = Transcribe | AskTurnModel | Generate | RunTool | Prefill | Synthesize | Recall
"""Effects that take an engine, a tool or the memory, and time."""

log = structlog.get_logger(__name__)


class EngineWork:
    """The running work of one call.

    Args:
        engines: shared by all calls.
        options: of the call, as it began.
        audio: of the user, which is transcribed and judged.
        reminder: knows what the user said in earlier conversations; None for no reminding.
        post: takes what came of the work, as inputs of the call.
        on_error: told of an exception of a task's own code, which is not an engine's.
    """

    def __init__(
        self,
        engines: Engines,
        options: CallOptions,
        audio: AudioBuffer,
        reminder: Reminder | None,
        post: Callable[[Input], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        self._engines = engines
        self._options = options
        self._audio = audio
        self._reminder = reminder
        self._post = post
        self._on_error = on_error
        self._tasks: dict[str, set[asyncio.Task[None]]] = {}
        self._interims = 0
        self._question = Ticket()

    def begin(self, work: Work) -> None:
        """Start what an effect asks for, in its group."""
        match work:
            case Transcribe():
                task = self._transcribe(work)
            case AskTurnModel():
                self._question.cancel()
                self._question = Ticket(work.ticket.urgency, work.ticket.deadline)
                task = self._ask_turn_model(work, self._question)
            case Generate():
                task = self._generate(work)
            case RunTool():
                task = self._run_tool(work)
            case Prefill():
                task = self._prefill(work)
            case Synthesize():
                task = self._synthesize(work)
            case Recall():
                task = self._recall(work)
            case _:
                assert_never(work)
        self.start(work.group, task)

    def start(self, group: str, work: Awaitable[None]) -> None:
        """Run something as a task of a group."""
        task = asyncio.ensure_future(work)
        tasks = self._tasks.setdefault(group, set())
        tasks.add(task)

        def done(task: asyncio.Task[None]) -> None:
            tasks.discard(task)
            if not tasks and self._tasks.get(group) is tasks:
                del self._tasks[group]
            error = None if task.cancelled() else task.exception()
            if error is not None:
                self._on_error(error)

        task.add_done_callback(done)

    def cancel(self, group: str) -> None:
        """Cancel the tasks of a group."""
        for task in self._tasks.pop(group, ()):
            task.cancel()

    def cancel_all(self) -> list[asyncio.Task[None]]:
        """Cancel the tasks of all groups; returns those that are still to end."""
        tasks = [task for group in self._tasks.values() for task in group]
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        return tasks

    async def _transcribe(self, work: Transcribe) -> None:
        if work.optional and (self._interims or not slots_of(device_of(self._engines.stt)).spare()):
            self._post(Transcribed(work.job, None))
            return
        self._interims += work.optional
        try:
            transcript = await self._engines.stt.transcribe(
                self._audio.slice(work.start, work.end),
                work.ticket,
                language=work.language,
                prior=work.prior,
                prompt=work.prompt,
                retry=not work.optional,
            )
        except Exception as error:
            log.exception("transcription failed", error=str(error))
            self._post(Transcribed(work.job, None))
        else:
            self._post(Transcribed(work.job, transcript))
        finally:
            self._interims -= work.optional

    async def _ask_turn_model(self, work: AskTurnModel, ticket: Ticket) -> None:
        """A later question takes the place of this one; so does the end of the turn, with which words are hurried."""

        def outdated(draft: Ticket) -> None:
            if draft.cancelled or draft.urgency < Urgency.SPECULATION:
                ticket.cancel()

        work.ticket.watch(outdated)
        try:
            score = await self._engines.turn.completeness(self._audio.slice(work.start, work.end), ticket)
        except Exception as error:
            log.exception("turn model failed", error=str(error))
            self._post(TurnScored(work.job, None))
        else:
            self._post(TurnScored(work.job, score))
        finally:
            work.ticket.unwatch(outdated)

    async def _generate(self, work: Generate) -> None:
        failed, thought, said = False, False, False
        calls: tuple[ToolCall, ...] = ()
        usage: TokenUsage | None = None
        cut_short = False
        length = ReplyLength(work.request.asked, self._options.instructions) if self._options.short_replies else None
        try:
            async with aclosing(reply_to(self._engines.llm, work.request, work.ticket)) as deltas:
                async for delta in deltas:
                    text = length.feed(delta.text) if length else delta.text
                    if text:
                        self._post(ReplyText(work.reply, text))
                    elif delta.thinking:
                        self._post(ReplyText(work.reply, "", thinking=True))
                    thought, said = thought or delta.thinking, said or bool(text.strip())
                    if length and length.ended:
                        break
                    calls = delta.tool_calls
                    if delta.prompt_tokens or delta.completion_tokens:
                        usage = TokenUsage(delta.prompt_tokens, delta.completion_tokens)
                    cut_short = delta.finish_reason == "length"
        except RequestRefusedError as error:
            log.error("language model refused a request", error=type(error).__name__)
            failed = True
        except Exception as error:
            log.exception("language model failed", error=str(error))
            failed = True
        # The caller is not left in silence: a model that has thought and said nothing has failed.
        failed = failed or (thought and not said and not calls and not work.ticket.cancelled)
        if calls and not failed:
            self._post(ToolsAsked(work.reply, calls, usage))
        else:
            self._post(ReplyTextEnded(work.reply, failed, usage, cut_short))

    async def _run_tool(self, work: RunTool) -> None:
        self._post(ToolRan(work.reply, work.job, await self._options.tools.run(work.call)))

    async def _prefill(self, work: Prefill) -> None:
        try:
            await self._engines.llm.prefill(work.request, work.ticket)
        except RequestRefusedError:
            pass  # as the reply will be, which tells
        except Exception as error:
            log.warning("prefill failed", error=str(error))

    async def _recall(self, work: Recall) -> None:
        memories: Memories = ()
        try:
            if self._reminder is not None:
                memories = await self._reminder.remind(work.text)
        except Exception as error:
            log.exception("nothing recalled", error=str(error))
        self._post(Remembered(work.job, memories))

    async def _synthesize(self, work: Synthesize) -> None:
        failed = False
        try:
            async for chunk in self._engines.tts.synthesize(work.text, work.ticket, voice=work.voice, speed=work.speed):
                self._post(PieceSpoken(work.reply, work.piece, chunk))
        except Exception as error:
            log.exception("text to speech failed", error=str(error))
            failed = True
        self._post(PieceEnded(work.reply, work.piece, failed))
