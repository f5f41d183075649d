"""What small language models in process are helped with in calls: manner, sums, and what tools answered.

Measured with 60 questions by voice (`morgan bench minds`), and 60 that nothing was tried on (`--held-out`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from pipeline.engines.guidance import Guidance
from pipeline.engines.protocols import ChatRequest, Message
from pipeline.text.normalise import normalise
from pipeline.text.sums import sum_in

SMALL_PARAMETERS: Final = 1_000_000_000
"""Models with fewer are helped: larger ones need it less, and it was not measured with any."""

TAUGHT_PARAMETERS: Final = 300_000_000
"""Models with fewer take the examples for the talk: one of 135 million was right 20 times of 60 with them, and 30
with the rest of this alone."""

EXAMPLES: Final = (
    Message("user", "Hello, can you hear me?"),
    Message("assistant", "Yes, I can hear you well. How are you?"),
    Message("user", "I had some bad news."),
    Message("assistant", "Oh no, I am sorry to hear that. Do you want to talk about it?"),
)
"""A beginning of a conversation. A small model that has answered in this manner goes on in it; told of the manner alone
it says greetings, news and goodbyes back. What is said in it must not matter: the model takes it for said."""

ANSWER_NOW: Final = "Now answer the user in one short spoken sentence."
"""Behind what a tool answered: without it a small model reads the answer out, or asks the tool again."""

FEWEST_WORDS: Final = 3
"""Of the user's own words that a reply may begin with: "my name is" begins an answer, one word more says them back."""


class SaidBack:
    """Whether a reply says the user's words back in place of answering them.

    Args:
        asked: the user's words.
    """

    def __init__(self, asked: str) -> None:
        self._asked = normalise(asked)
        self._said = ""

    def feed(self, text: str) -> None:
        """The reply went on with this."""
        self._said += text

    def would(self, text: str) -> bool:
        """Whether the user's words would be said back if it went on with this."""
        if len(self._said) > 2 * len(self._asked):
            # Signs and blanks included, it says more than the user did: most of a reply is not looked at.
            return False
        said = normalise(self._said)
        longer = normalise(self._said + text)
        return len(said.split()) >= FEWEST_WORDS and longer != said and self._asked.startswith(longer)


def guided(request: ChatRequest, parameters: int) -> ChatRequest:
    """The request with what its `guidance` allows; of equal messages come equal ones, so that prompts only grow.

    Args:
        request: for a model in process.
        parameters: of the model, fewer than `SMALL_PARAMETERS`.
    """
    messages = request.messages
    if Guidance.FACTS in request.guidance:
        messages = tuple(_with_facts(messages))
    # A model that has seen two answers without tools asks for none any more.
    if Guidance.MANNER in request.guidance and parameters >= TAUGHT_PARAMETERS and not request.tools:
        messages = tuple(_with_examples(messages))
    return replace(request, messages=messages)


def _with_examples(messages: Sequence[Message]) -> Iterator[Message]:
    opening = 1 if messages and messages[0].role == "system" else 0
    yield from messages[:opening]
    yield from EXAMPLES
    yield from messages[opening:]


def _with_facts(messages: Iterable[Message]) -> Iterator[Message]:
    listed = list(messages)
    for place, message in enumerate(listed):
        last_result = message.role == "tool" and (place + 1 == len(listed) or listed[place + 1].role != "tool")
        if last_result:
            yield replace(message, content=f"{message.content}\n\n{ANSWER_NOW}")
        elif message.role == "user" and not message.images and (found := sum_in(message.content)):
            yield replace(message, content=f"{message.content}\n({found}.)")
        else:
            yield message
