"""Which messages of a long conversation a model with a bounded context still sees."""

from collections.abc import Callable, Sequence

from pipeline.engines.protocols import Message, RequestRefusedError

BLOCKS = 4
"""The oldest messages go in blocks of this fraction (1/4) of the budget; see `fit_messages`."""


class ContextOverflowError(RequestRefusedError):
    """The system message and the last message alone do not fit the context; the message says by how much."""


def fit_messages(
    messages: Sequence[Message], budget: int, count: Callable[[Sequence[Message]], int]
) -> tuple[Message, ...]:
    """Drop the oldest messages until the rest fits; system messages and the last message stay.

    What is dropped goes by whole blocks: were it one message a turn, every turn of a full conversation would start
    with another prefix and none could reuse what the cache holds. The cut depends on nothing but the messages, so a
    growing conversation keeps its prefix for about a quarter of the budget, then loses it once. The first message
    kept after a cut is the user's where one is left, because most templates know no reply without a question.

    Args:
        messages: the context, oldest first.
        budget: tokens that the rendered prompt may have.
        count: tokens of the prompt that a list of messages renders to.

    Raises:
        ContextOverflowError: nothing more can be dropped.
    """
    whole = count(messages)
    if whole <= budget:
        return tuple(messages)
    movable = [index for index, message in enumerate(messages[:-1]) if message.role != "system"]

    def without(dropped: int) -> tuple[Message, ...]:
        gone = set(movable[:dropped])
        return tuple(message for index, message in enumerate(messages) if index not in gone)

    shortest = count(without(len(movable)))
    if shortest > budget:
        raise ContextOverflowError(f"the prompt has {shortest} tokens at the least and the context takes {budget}")
    block = max(1, budget // BLOCKS)
    excess = -(-(whole - budget) // block) * block
    low, high = 1, len(movable)
    while low < high:
        middle = (low + high) // 2
        if whole - count(without(middle)) >= excess:
            high = middle
        else:
            low = middle + 1
    while low < len(movable) and messages[movable[low]].role != "user":
        low += 1
    return without(low)
