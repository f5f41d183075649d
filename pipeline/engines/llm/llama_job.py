"""A request to the language model on its way through the batcher."""

from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline.engines.llm.answer_grammar import AnswerGrammar
from pipeline.engines.llm.guidance import SaidBack
from pipeline.engines.llm.llama_native import Sampler
from pipeline.engines.llm.llama_slots import Tokens
from pipeline.engines.llm.reply_text import ReplyAssembler
from pipeline.engines.llm.tool_call_text import ToolCallText
from pipeline.engines.protocols import ChatDelta, ChatRequest, FinishReason, ToolCall
from pipeline.scheduling.lanes import Ticket


@dataclass(eq=False, slots=True)
class Job:
    """A request on its way.

    Attributes:
        request: what is asked.
        ticket: how urgent.
        generate: False only reads the prompt.
        on_delta: gets every piece of the reply, the last one with its finish reason.
        on_end: called once, at the very end, with None or with what went wrong. A cancelled job ends with None.
        grammar: of the answer, where it has to have a form.
        said_back: keeps a small model from saying the user's words back; None for one that is not helped.
        withdrawn: nobody wants it any more; like a cancelled ticket, but of this job alone.
        tokens: prompt and reply, once tokenised.
        queued_at: when it was handed over, monotonic s; 0 for when it is added.
    """

    request: ChatRequest
    ticket: Ticket
    generate: bool
    on_delta: Callable[[ChatDelta], None]
    on_end: Callable[[BaseException | None], None]
    grammar: AnswerGrammar | None = None
    said_back: SaidBack | None = None
    withdrawn: bool = False
    tokens: Tokens | None = None
    queued_at: float = 0.0
    prompt_tokens: int = 0
    most: int = 0
    generated: int = 0
    thought: int = 0
    sampler: Sampler | None = None
    text: ReplyAssembler = field(default_factory=ReplyAssembler)
    tools: ToolCallText | None = None

    @property
    def cancelled(self) -> bool:
        return self.withdrawn or self.ticket.cancelled

    @property
    def garbled(self) -> bool:
        """See `ToolCallText.garbled`: known once the reply has ended."""
        return self.tools is not None and self.tools.garbled and self.request.tool_choice != "none"

    def feed(self, piece: bytes) -> str:
        """The characters that have become certain with the next token; see `ReplyAssembler.feed`."""
        text = self.text.feed(piece)
        if self.said_back is not None:
            self.said_back.feed(text)
        return text

    def out_of_place(self, piece: bytes, *, ends: bool) -> bool:
        """Whether the reply must not go on with a token.

        Args:
            piece: of the token.
            ends: it ends the reply: too early, or where tools may not be asked for any more and nothing was said yet.
        """
        owes_words = self.tools is not None and self.request.tool_choice == "none" and self.tools.wordless
        if ends:
            return self.generated < self.request.min_tokens or owes_words
        if self.text.thinking:
            return False
        text = piece.decode(errors="ignore")
        if owes_words and self.tools is not None and not self.tools.begins_words(text):
            return True
        return self.said_back is not None and self.said_back.would(text)


def last_delta(job: Job, text: str, *, stop: bool) -> ChatDelta:
    """The end of a reply: what is left of its words, and what it asks of tools.

    Args:
        job: whose reply.
        text: the last of its words.
        stop: the model ended it, and not a limit.
    """
    text += job.text.finish()
    calls: tuple[ToolCall, ...] = ()
    if job.tools is not None:
        words = job.tools.feed(text)
        rest, calls = job.tools.finish()
        text = words + rest
    # Cut at the limit, the arguments are half an object: nothing to run a tool with.
    calls = calls if stop and job.request.tool_choice != "none" else ()
    reason: FinishReason = "tool_calls" if calls else "stop" if stop else "length"
    return ChatDelta(text, reason, job.prompt_tokens, job.generated, calls)
