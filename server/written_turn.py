"""One turn in writing: the context, the language model, and what is kept of both."""

import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing

from persistence.conversation_log import ConversationLog
from pipeline.call.context import Context
from pipeline.call.options import CallOptions
from pipeline.engines.protocols import LanguageModel
from pipeline.lanes import Ticket
from server.beginnings import Beginning

WRITTEN_RULES = "Answer in one to three short plain sentences."


class WrittenTurn:
    """What a user wrote, and the reply to it.

    Args:
        llm: the language model.
        options: bounds and temperature of replies.
        beginning: of the conversation that the turn belongs to.
        said: what the user wrote.
        user_id: who.
        instructions: how this user wants Morgan to be; None for the default.
        writer: where the conversation is kept; None where there is no memory.

    Attributes:
        text: the reply as far as it is known.
        conversation_id: of the conversation.
        message_id: of the reply in it.
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
        writer: ConversationLog | None = None,
    ) -> None:
        self.text = ""
        self.user_id = user_id
        self.conversation_id = beginning.conversation_id
        self.message_id = str(uuid.uuid4())
        self._llm = llm
        self._options = options
        self._said = said
        self._writer = writer
        self._context = Context(instructions or options.instructions, self.conversation_id, rules=WRITTEN_RULES)
        self._context.entries.extend(beginning.past)

    async def reply(self) -> AsyncGenerator[str, None]:
        """Generate the reply, piece by piece. Closing the generator stops it and keeps what was handed out.

        Raises:
            EngineError, LaneFullError: the language model cannot.
        """
        began = time.monotonic()
        turn_id = str(uuid.uuid4())
        if self._writer is not None:
            self._writer.user_turn(turn_id, self._said)
            self._tell("transcript", turn_id, self._said, "user")
        request = self._context.request(self._said, self._options.max_tokens, self._options.temperature)
        ticket, first, whole = Ticket(), None, False
        try:
            async with aclosing(self._llm.stream(request, ticket)) as deltas:  # type: ignore[type-var]
                async for delta in deltas:
                    if delta.text:
                        first = first or time.monotonic()
                        self.text += delta.text
                        yield delta.text
            self.text = self.text.strip()
            whole = True
        finally:
            ticket.cancel()
            self._keep(began, first, whole)

    def _keep(self, began: float, first: float | None, whole: bool) -> None:
        if self._writer is None or first is None:
            return
        latency = {"llm_first_token": first - began, "llm": time.monotonic() - began}
        rounded = {name: round(seconds * 1000, 1) for name, seconds in latency.items()}
        text = self.text.strip()
        self._writer.reply(self.message_id, text, interrupted=not whole, latency=rounded)
        self._tell("reply", self.message_id, text, "assistant")

    def _tell(self, kind: str, item_id: str, text: str, role: str) -> None:
        assert self._writer is not None
        self._writer.event({"type": kind, "item_id": item_id, "text": text, "role": role, "final": True})
