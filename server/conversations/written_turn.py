"""One turn in writing: the context, the language model and its tools, and what is kept of them."""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from persistence.conversation_log import ConversationLog
from pipeline.call.circumstances import Circumstances
from pipeline.call.context import Context, Entry
from pipeline.call.options import CallOptions
from pipeline.call.ports import Reminder
from pipeline.engines.protocols import ChatRequest, EngineError, LanguageModel, ToolCall
from pipeline.text.reply_length import ReplyLength
from server.conversations.beginnings import Beginning
from server.conversations.generation import Generation
from server.conversations.tools import keep_tool_result

WRITTEN_RULES = (
    "Answer in one to three short plain sentences, in more only where the user asks for it. Do what the user asks, "
    "remember what they told you, and say so when you do not know something."
)


class WrittenTurn:
    """What a user wrote, and the reply to it.

    Args:
        llm: the language model.
        options: bounds and temperature of replies, and the tools.
        beginning: of the conversation that the turn belongs to.
        said: what the user wrote.
        user_id: who.
        instructions: how this user wants Morgan to be; None for the default.
        language: that the user speaks, ISO 639-1; None where that is not known.
        rules: added to the instructions.
        circumstances: who writes, and what time it is there; None for nothing of it.
        writer: where the conversation is kept; None where there is no memory.
        remind_by: gives who reminds of the user's earlier conversations; None for nobody.

    Attributes:
        text: the reply as far as it is known.
        conversation_id: of the conversation.
        language: of what the user said, ISO 639-1; None where that is not known.
        turn_id: of what the user said in it.
        message_id: of the reply in it.
        usage: tokens, as far as the engine counts them.
    """

    def __init__(
        self,
        llm: LanguageModel,
        options: CallOptions,
        beginning: Beginning,
        said: str,
        *,
        user_id: str,
        instructions: str | None = None,
        language: str | None = None,
        rules: str = WRITTEN_RULES,
        circumstances: Circumstances | None = None,
        writer: ConversationLog | None = None,
        remind_by: Callable[[str, Context], Reminder | None] | None = None,
    ) -> None:
        self.text = ""
        self.user_id = user_id
        self.conversation_id = beginning.conversation_id
        self.turn_id = str(uuid.uuid4())
        self.message_id = str(uuid.uuid4())
        self.usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        self._llm = llm
        self._options = options
        self._tools = options.tools.now().in_writing()
        self._said = said
        self._writer = writer
        chosen = options.instructions if instructions is None else instructions
        self._context = Context(chosen, self.conversation_id, rules=rules, circumstances=circumstances)
        self._context.entries.extend(beginning.past)
        self.language = language
        if language:
            self._context.answer_in(language)
        self._reminder = remind_by(user_id, self._context) if remind_by else None
        self._began = time.monotonic()
        self._first: float | None = None

    @property
    def first_word_ms(self) -> float:
        """Milliseconds to the first words of the reply; 0 while there are none."""
        return round((self._first - self._began) * 1000, 1) if self._first is not None else 0.0

    @property
    def latency_ms(self) -> float:
        """Milliseconds since the request came."""
        return round((time.monotonic() - self._began) * 1000, 1)

    async def reply(self) -> AsyncGenerator[str, None]:
        """Generate the reply, piece by piece. Closing the generator stops it and keeps what was handed out.

        Raises:
            EngineError, LaneFullError, LaneClosedError: the language model cannot.
        """
        turn_id, whole = self.turn_id, False
        recalled = await self._reminder.remind(self._said) if self._reminder else ()
        self._context.add(Entry(turn_id, "user", self._said, recalled=recalled))
        if self._writer is not None:
            self._writer.user_turn(turn_id, self._said, language=self.language)
            self._tell("transcript", turn_id, self._said, "user")
        try:
            async with aclosing(self._rounds()) as pieces:
                async for piece in pieces:
                    self._first = self._first or time.monotonic()
                    self.text += piece
                    yield piece
            self.text = self.text.strip()
            whole = True
        finally:
            self._keep(whole)

    async def _rounds(self) -> AsyncGenerator[str, None]:
        """The model's words; between two rounds the tools that it asked for run."""
        tools = self._tools
        length = ReplyLength(self._said, self._context.instructions) if self._options.short_replies else None
        for asked in range(tools.rounds + 1):
            generation = Generation(self._llm, self._request(last=asked == tools.rounds))
            async with aclosing(generation.reply()) as pieces:
                async for piece in pieces:
                    yield length.feed(piece) if length else piece
                    if length and length.ended:
                        return
            for name, tokens in generation.usage.items():
                self.usage[name] += tokens
            if not generation.tool_calls:
                return
            await self._run_tools(generation.text, generation.tool_calls)
            if generation.text.strip():
                yield " "
        if not self.text.strip():
            raise EngineError("the language model asks for tools without end")

    def _request(self, *, last: bool) -> ChatRequest:
        options = self._options
        return self._context.request(
            None, options.max_tokens, options.temperature, self._tools.specs, "none" if last else "auto"
        )

    async def _run_tools(self, text: str, calls: tuple[ToolCall, ...]) -> None:
        results = await asyncio.gather(*(self._tools.run(call) for call in calls))
        self._context.add(Entry(str(uuid.uuid4()), "assistant", text, tool_calls=calls))
        for result in results:
            item_id = str(uuid.uuid4())
            self._context.add(Entry(item_id, "tool", result.content, tool_call_id=result.call.id))
            if self._writer is not None:
                keep_tool_result(self._writer, item_id, result)

    def _keep(self, whole: bool) -> None:
        if self._writer is None or self._first is None:
            return
        latency = {"llm_first_token": self._first - self._began, "llm": time.monotonic() - self._began}
        rounded = {name: round(seconds * 1000, 1) for name, seconds in latency.items()}
        text = self.text.strip()
        self._writer.reply(self.message_id, text, interrupted=not whole, latency=rounded)
        self._tell("reply", self.message_id, text, "assistant")

    def _tell(self, kind: str, item_id: str, text: str, role: str) -> None:
        assert self._writer is not None
        self._writer.event({"type": kind, "item_id": item_id, "text": text, "role": role, "final": True})
