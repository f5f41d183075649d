"""The tools that one reply asks for: run in rounds, each followed by another question to the language model."""

from dataclasses import replace

from pipeline.call.context import Context, Entry
from pipeline.call.effect_queue import EffectQueue
from pipeline.call.effects import Generate, RunTool
from pipeline.call.events import ApprovalAsked, ToolCalled, ToolReturned
from pipeline.call.options import CallOptions
from pipeline.call.reply.background import BackgroundTools
from pipeline.call.reply.consent import ASKED, ONE_AT_A_TIME, Consent
from pipeline.call.reply.filler import Filler
from pipeline.call.reply.reply import Reply
from pipeline.engines.protocols import ToolCall
from pipeline.text.consent import consent_question
from pipeline.tools.toolbox import ToolResult

INTERRUPTED = "Error: the user interrupted before there was a result; whether anything was done is not known"


class ToolRounds:
    """Follows the tool calls of a reply.

    Nothing runs before the reply is released: a tool may change the world, and a guess must not. What was asked and
    what came of it stays in the conversation even if the reply is cut, because it was done.

    Args:
        reply: whose tools these are.
        options: with the tools.
        context: the conversation.
        outbox: takes work and news.
        filler: said when tools take their time.
        consent: what the user is asked first.
        background: runs what is not waited for.

    Attributes:
        answered_by: monotonic time by which the tools that run have answered, or the last ones did.
    """

    def __init__(
        self,
        reply: Reply,
        options: CallOptions,
        context: Context,
        outbox: EffectQueue,
        filler: Filler,
        consent: Consent,
        background: BackgroundTools,
    ) -> None:
        self.answered_by = 0.0
        self._reply = reply
        self._options = options
        self._context = context
        self._out = outbox
        self._rounds = 0
        self._asked: tuple[ToolCall, ...] = ()
        self._handed_over: tuple[ToolCall, ...] = ()
        self._known: dict[str, ToolResult] = {}
        self._agreed: frozenset[str] = frozenset()
        self._running: dict[int, ToolCall] = {}
        self._began: float | None = None
        self._filler = filler
        self._consent = consent
        self._background = background
        self._preambles: list[Entry] = []

    def begin_with(self, call: ToolCall, result: ToolResult | None = None) -> None:
        """The reply begins with a tool, in place of the language model's words.

        Args:
            call: which has been agreed to, or has been run.
            result: what came of it; None where it is still to be run.
        """
        self._asked, self._agreed = (call,), frozenset({call.id})
        if result is not None:
            self._known = {call.id: result}

    def ask(self, calls: tuple[ToolCall, ...], now: float) -> bool:
        """The language model wants tools; False when it may not (any more) and the reply ends here."""
        mine = {tool.name for tool in self._reply.wish.client_tools(self._options)} | set(self._options.approval)
        theirs = tuple(call for call in calls if call.name in mine)
        if not theirs and (self._rounds >= self._options.tools.rounds or not self._options.tools.specs):
            return False
        if theirs:
            # The client answers in its own time, and asks for another reply: this one ends here.
            self._handed_over = theirs
            calls = ()
        self._reply.pause_text(now)
        self._asked = calls
        self.advance(now)
        return True

    @property
    def busy(self) -> bool:
        """Whether tools are running."""
        return bool(self._running)

    def advance(self, now: float) -> None:
        """Run what is due, and say that it takes a moment when it does."""
        if not self._reply.released:
            return
        if self._handed_over:
            self._hand_over(now)
        if self._asked:
            self._run(now)
        waits = self._options.tools.wait_for_user(self._running.values())
        if self._began is not None and self._running and not waits:
            self._filler.wait(self._began, now)

    def _run(self, now: float) -> None:
        calls, self._asked = self._asked, ()
        self._rounds += 1
        self._began = now if self._began is None else self._began
        question = Entry(self._out.new_id("item"), "assistant", self._unsaid(), tool_calls=calls)
        self._preambles.append(question)
        self._context.add(question)
        for call in calls:
            self._out.emit(ToolCalled(self._reply.reply_id, self._out.new_id("item"), call))
            result = self._at_once(call)
            if result is not None:
                self._keep(result)
                continue
            job = self._out.new_job()
            self._running[job] = call
            self._out.do(RunTool(self._reply.reply_id, self._reply.group, job, call))
        running = tuple(self._running.values())
        self.answered_by = now + self._options.tools.longest_s(running)
        tools = [self._options.tools.find(call.name) for call in running]
        self._filler.choose(next((tool.filler for tool in tools if tool is not None and tool.filler), ""))
        if not running:
            self._go_on(now)

    def _at_once(self, call: ToolCall) -> ToolResult | None:
        """What the model is told of a call that is not waited for; None for one that is to be run now."""
        if call.id in self._known:
            return self._known.pop(call.id)
        tool = self._options.tools.find(call.name)
        if tool is None or not (tool.background or tool.confirm):
            return None
        problem = self._options.tools.problem(call)
        if problem:
            return ToolResult(call, problem, failed=True)
        if tool.confirm and call.id not in self._agreed:
            asks = self._consent.propose(self._reply.reply_id, call)
            return ToolResult(call, ASKED if asks else ONE_AT_A_TIME, failed=not asks)
        return self._background.begin(call) if tool.background else None

    def _hand_over(self, now: float) -> None:
        """Leave these calls to the client, or to its approval."""
        calls, self._handed_over = self._handed_over, ()
        for call in calls:
            item_id = self._out.new_id("item")
            if call.name in self._options.approval:
                self._consent.approvals[item_id] = call
                self._out.emit(ApprovalAsked(self._reply.reply_id, item_id, call))
                continue
            self._context.add(Entry(item_id, "assistant", "", tool_calls=(call,)))
            self._out.emit(ToolCalled(self._reply.reply_id, item_id, call, by_client=True))
        self._reply.end_text(now)

    def _unsaid(self) -> str:
        """What the reply said since the last question: the model is to know that it need not say it again."""
        before = sum(len(entry.text) for entry in self._preambles)
        return self._reply.text[before:]

    def returned(self, job: int, result: ToolResult, now: float) -> None:
        """A tool has answered; after the last one the model goes on."""
        if self._running.pop(job, None) is None:
            return
        self._keep(result)
        if not self._running:
            self.answered_by = now
            self._go_on(now)

    def _go_on(self, now: float) -> None:
        """All results are there: ask the user where they have to be asked, else the model."""
        options, reply = self._options, self._reply
        call = self._consent.proposes(reply.reply_id)
        if call is not None:
            tool = options.tools.find(call.name)
            template = tool.confirm_question if tool is not None else ""
            reply.add_text(consent_question(template, call.name, call.arguments, reply.language), now)
            reply.end_text(now)
            return
        again = self._rounds < options.tools.rounds
        request = replace(reply.wish, tool_choice="auto").request(self._context, options, tools_again=again)
        self._out.do(Generate(reply.reply_id, reply.group, request, reply.ticket))

    def _keep(self, result: ToolResult) -> None:
        entry = Entry(self._out.new_id("item"), "tool", result.content, tool_call_id=result.call.id)
        self._context.add(entry)
        self._out.emit(ToolReturned(self._reply.reply_id, entry.item_id, result))

    def end(self) -> None:
        """The reply is over: what has no result gets none, and what was said is told by the reply's own message."""
        running, self._running, self._asked, self._handed_over = self._running, {}, (), ()
        for call in running.values():
            self._keep(ToolResult(call, INTERRUPTED, failed=True))
        for entry in self._preambles:
            self._context.add(replace(entry, text=""))
