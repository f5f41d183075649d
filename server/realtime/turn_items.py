"""The items that a turn of the user is for clients: one, and another one for each time that the user goes on. Sans-I/O.

A call that takes a turn up again keeps its id and tells all of its words once more. To clients the words of an item are
final once they are told (Pipecat appends those of every `completed` to its context, and knows no deleted items): what
is said behind them is an item of its own, with the words that were added. Where none were told yet, the item is
deleted, and the next one has all words.
"""

from pipeline.text.added_words import added_words
from server.bounds import MAX_ITEMS
from server.realtime.items import ItemList


class TurnItems:
    """Follows one turn after the other.

    Args:
        items: of the conversation.
        apart: whether what is added to a turn is an item of its own; otherwise a turn is one item, which changes.
    """

    def __init__(self, items: ItemList, *, apart: bool) -> None:
        self._items = items
        self._apart = apart
        self._turn = ""
        self._item = ""
        self._taken_up = 0
        self._stopped_ms = 0
        # Of the whole turn, by its last item; then of the items before that one.
        self._known, self._known_s = "", 0.0
        self._before, self._before_s = "", 0.0
        self._growing, self._shown = "", ""
        self._turns: dict[str, str] = {}

    def item_of(self, turn_id: str) -> str:
        """The item that a turn is now."""
        if turn_id != self._turn:
            self._begin(turn_id)
        return self._item

    def turn_of(self, item_id: str) -> str:
        """The turn that an item is of; the item's own id where it is of no other."""
        return self._turns.get(item_id, item_id)

    def parts(self, turn_id: str) -> list[str]:
        """The items of a turn that there are."""
        listed = [turn_id, *(item_id for item_id, of in self._turns.items() if of == turn_id)]
        return [item_id for item_id in listed if item_id in self._items]

    def start(self, turn_id: str, start_ms: int) -> tuple[str | None, int]:
        """Speech begins, or goes on.

        Args:
            turn_id: of the turn.
            start_ms: where the audio of the turn begins.

        Returns:
            The item that is to be deleted, if one is, and where the audio of the one that begins does.
        """
        if turn_id != self._turn or not self._apart:
            self._begin(turn_id)
            return None, start_ms
        outdated = None
        if self._known:
            self._before, self._before_s = self._known, self._known_s
            start_ms = max(start_ms, self._stopped_ms)
        elif self._item in self._items:
            outdated = self._item
        self._known, self._known_s = "", 0.0
        self._growing = self._shown = ""
        self._taken_up += 1
        self._item = f"{turn_id}_{self._taken_up}"
        self._turns[self._item] = turn_id
        if len(self._turns) > MAX_ITEMS:
            del self._turns[next(iter(self._turns))]
        return outdated, start_ms

    def stop(self, turn_id: str, end_ms: int) -> str:
        """Speech has ended; the item."""
        item_id = self.item_of(turn_id)
        self._stopped_ms = end_ms
        return item_id

    def typed(self, turn_id: str, text: str) -> None:
        """A turn was typed; it may be gone on with by voice."""
        self._begin(turn_id)
        self._known = text

    def grown(self, turn_id: str, delta: str) -> str:
        """More words of a turn are certain; those of them that are new to its item."""
        self.item_of(turn_id)
        self._growing += delta
        if not self._before:
            return delta
        words = added_words(self._before, self._growing)
        if not words.startswith(self._shown):
            return ""
        delta, self._shown = words[len(self._shown) :], words
        return delta

    def complete(self, turn_id: str, text: str, seconds: float) -> tuple[str, float]:
        """The words of a turn are known, and how long it is; what of both is its last item's."""
        self.item_of(turn_id)
        self._known, self._known_s = text, seconds
        if not self._before:
            return text, seconds
        return added_words(self._before, text), max(0.0, seconds - self._before_s)

    def _begin(self, turn_id: str) -> None:
        self._turn = self._item = turn_id
        self._taken_up = 0
        self._known, self._known_s = "", 0.0
        self._before, self._before_s = "", 0.0
        self._growing = self._shown = ""
