"""Tools that run while the talk goes on; what came of them is told when nobody speaks."""

from collections import deque

from pipeline.call.effect_queue import EffectQueue
from pipeline.call.effects import RunTool
from pipeline.engines.protocols import ToolCall
from pipeline.tools.toolbox import ToolResult

GROUP = "background"
"""Of the work, and in place of the id of a reply: no reply's end cancels it."""

MOST = 4
"""In one call at the same time."""

QUIET_S = 0.8
"""So long nobody has spoken before a result is told."""

STARTED = (
    "Started in the background; the result will come later by itself. Tell the user that you are on it, and do not ask "
    "for it again."
)

TOO_MANY = "Error: not started, too many tools run in the background already"


class BackgroundTools:
    """Of one call.

    Args:
        outbox: takes the work.
    """

    def __init__(self, outbox: EffectQueue) -> None:
        self._out = outbox
        self._running: dict[int, ToolCall] = {}
        self._done: deque[ToolResult] = deque()
        self._quiet_since: float | None = None

    def begin(self, call: ToolCall) -> ToolResult:
        """Have a tool run; returns what the model is told for the time being."""
        if len(self._running) >= MOST:
            return ToolResult(call, TOO_MANY, failed=True)
        job = self._out.new_job()
        self._running[job] = call
        self._out.do(RunTool(GROUP, GROUP, job, call))
        return ToolResult(call, STARTED, failed=False)

    def returned(self, job: int, result: ToolResult) -> None:
        """A tool has answered."""
        if self._running.pop(job, None) is not None:
            self._done.append(result)

    def due(self, quiet: bool, now: float) -> ToolResult | None:
        """The result that is to be told now; None where there is none, or somebody speaks or has just done so."""
        if not quiet or not self._done:
            self._quiet_since = None
            return None
        self._quiet_since = now if self._quiet_since is None else self._quiet_since
        if now - self._quiet_since < QUIET_S:
            return None
        self._quiet_since = None
        return self._done.popleft()
