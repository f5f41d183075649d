"""Recall of what the user said in earlier conversations, in time for the turn in hand.

Asked for while the user still speaks, with the words of interim transcripts, so that the language model can read it
meanwhile. A turn too short for those is asked for when its words are known; its answer then waits for a moment, and
only for that. What comes too late for an answer is dropped: a prompt that is being answered does not change.
"""

from pipeline.call.context import Context
from pipeline.call.effect_queue import EffectQueue
from pipeline.call.effects import Recall
from pipeline.call.memories import Memories
from pipeline.call.user.turn import Turn

FEWEST_WORDS = 3
"""Fewer of them ("yes", "hello there") remind of nothing."""

COVERED = 2 / 3
"""A question with this share of the turn's words that found something stands for the turn: the rest was said since."""

FEW_MORE = 2
"""One that found nothing stands for it only if no more words than these were said since: the last may be the name."""

GRACE_S = 0.03
"""Beyond its budget, for a port that does not keep it."""


class Recalling:
    """Asks for memories of one turn at a time and puts them into the context.

    Args:
        budget_s: within which there is an answer; 0 where there is no memory to ask.
        context: where they go.
        outbox: takes the questions.

    Attributes:
        waiting: the answer to the turn in hand waits for them.
    """

    def __init__(self, budget_s: float, context: Context, outbox: EffectQueue) -> None:
        self.waiting = False
        self._enabled = budget_s > 0
        self._wait_s = budget_s + GRACE_S
        self._context = context
        self._out = outbox
        self._item_id = ""
        self._asked = 0
        self._job: int | None = None
        self._until = 0.0

    def overhear(self, turn: Turn) -> None:
        """The words of a running turn grew."""
        if self._enabled and not self._stands_for(turn, turn.overheard):
            self._ask(turn, turn.overheard)

    def ready(self, turn: Turn, text: str) -> bool:
        """Whether an answer to these words needs no more memories than there are."""
        return not self._enabled or (not self.waiting and self._stands_for(turn, text))

    def must_wait(self, turn: Turn, text: str, now: float) -> bool:
        """Whether the answer to these words waits for memories."""
        if not self._enabled:
            return False
        if not self.waiting:
            if self._stands_for(turn, text):
                # What is still on its way would change the prompt under the answer.
                self._job = None
                return False
            self._ask(turn, text)
            self.waiting, self._until = True, now + self._wait_s
        return True

    def remembered(self, job: int, memories: Memories) -> bool:
        """Take in an answer; False when it comes too late."""
        if job != self._job:
            return False
        self._context.recalled = memories
        self._settle()
        return True

    def overdue(self, now: float) -> bool:
        """Whether the wait has just been given up."""
        if not self.waiting or now < self._until:
            return False
        self._settle()
        return True

    def _settle(self) -> None:
        self._job, self.waiting = None, False

    def _stands_for(self, turn: Turn, text: str) -> bool:
        """Whether enough of these words were asked about, or there are too few of them."""
        if turn.item_id != self._item_id:
            self._item_id, self._asked, self._job, self.waiting = turn.item_id, 0, None, False
            self._context.recalled = ()
        count = len(text.split())
        if count < FEWEST_WORDS:
            return True
        return self._asked >= (count * COVERED if self._context.recalled else max(1, count - FEW_MORE))

    def _ask(self, turn: Turn, text: str) -> None:
        self._asked = len(text.split())
        self._job = self._out.new_job()
        self._out.do(Recall(self._job, turn.group, text))
