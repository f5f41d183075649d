"""What has been said, as the language model gets to see it."""

from dataclasses import dataclass, replace
from typing import Literal

from pipeline.engines.protocols import ChatRequest, Message, ToolCall, ToolSpec
from pipeline.text.languages import NAMES
from pipeline.text.words import primary_language

CUT_MARK = " —"
"""Ends a reply that the user interrupted, in the context; the instructions explain it to the model."""

KEPT = 4
"""So many times as many entries are kept as the model sees; memory has the rest."""

SPOKEN_RULES = (
    "Your words are spoken aloud in a phone call: answer in one to three short plain sentences, "
    "without lists or markup. A reply of yours that ends in — was interrupted there by the user."
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One message of the conversation.

    Attributes:
        item_id: its id in every event and in storage.
        role: who said it; "tool" for the result of a tool.
        text: the words; of a reply only those that were heard.
        interrupted: the user cut it.
        tool_calls: what the assistant asked of tools; their results follow.
        tool_call_id: which call a result belongs to.
        recalled: what the user had said in earlier conversations and the model was reminded of here.
    """

    item_id: str
    role: Literal["user", "assistant", "tool", "system"]
    text: str
    interrupted: bool = False
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    recalled: tuple[str, ...] = ()


class Context:
    """The conversation of one call, in order.

    Args:
        instructions: how Morgan should be.
        conversation: key under which language models may cache the prefix.
        max_entries: older ones are left out of what the model sees.
        rules: added to the instructions; those for spoken answers unless the answers are read.

    Attributes:
        recalled: what the user said in earlier conversations that fits the words in hand. It stands right before them
            and stays there, so that the prompt only ever grows at its end, and language models keep what they read.
    """

    def __init__(self, instructions: str, conversation: str, max_entries: int = 40, rules: str = SPOKEN_RULES) -> None:
        self.instructions = instructions
        self.conversation = conversation
        self.entries: list[Entry] = []
        self.recalled: tuple[str, ...] = ()
        self._max_entries = max_entries
        self._rules = rules
        self._language = ""
        self._tells_language = False

    @property
    def last_id(self) -> str | None:
        """Item id of the last entry."""
        return self.entries[-1].item_id if self.entries else None

    def add(self, entry: Entry) -> None:
        """Append a message, or replace the one with the same id."""
        for index, known in enumerate(self.entries):
            if known.item_id == entry.item_id:
                self.entries[index] = entry
                return
        self.entries.append(entry)
        # However long a call is, and however fast somebody types.
        del self.entries[: -self._max_entries * KEPT]

    def instruct(self, instructions: str) -> None:
        """From now on Morgan should be otherwise."""
        self.instructions = instructions

    def insert(self, entry: Entry, after: str | None) -> None:
        """Put a message somewhere.

        Args:
            entry: not yet there.
            after: item id of what it follows, the end where that is not there; None for the end, "" for the beginning.
        """
        if after is None:
            self.add(entry)
            return
        found = -1 if after == "" else next((i for i, e in enumerate(self.entries) if e.item_id == after), None)
        self.entries.insert(len(self.entries) if found is None else found + 1, entry)

    def remove(self, item_id: str) -> None:
        """Take a message out again, if it is there."""
        self.entries = [entry for entry in self.entries if entry.item_id != item_id]

    def cut(self, item_id: str, heard: str) -> None:
        """Keep only what was heard of a reply; nothing heard, nothing kept."""
        if not heard:
            self.remove(item_id)
            return
        self.entries = [
            replace(entry, text=heard, interrupted=True) if entry.item_id == item_id else entry
            for entry in self.entries
        ]

    def answer_in(self, language: str) -> None:
        """Have the model answer in a language (ISO 639-1); it is told only once that is not English all along."""
        self._language = language
        self._tells_language = self._tells_language or primary_language(language) != "en"

    def _answer_in(self) -> str:
        name = NAMES.get(primary_language(self._language), "") if self._tells_language else ""
        return f"Answer in {name}." if name else ""

    def messages(self, said: str | None = None) -> tuple[Message, ...]:
        """The messages for the language model.

        Args:
            said: the user's words in hand, which are not (or not yet) part of the conversation.
        """
        system = "\n".join(part for part in (self.instructions, self._rules, self._answer_in()) if part)
        listed = [Message("system", system)]
        for entry in self._recent():
            mark = CUT_MARK if entry.interrupted else ""
            text = _reminded(entry.text, entry.recalled) + mark
            listed.append(Message(entry.role, text, entry.tool_call_id, entry.tool_calls))
        if said is not None:
            listed.append(Message("user", _reminded(said, self.recalled)))
        return tuple(listed)

    def seen(self) -> tuple[Entry, ...]:
        """The entries that the model sees."""
        return tuple(self._recent())

    def _recent(self) -> list[Entry]:
        """The entries that the model sees; a tool's result is not seen without the question to the tool."""
        recent = self.entries[-self._max_entries :]
        while recent and recent[0].role == "tool":
            del recent[0]
        return recent

    def request(
        self,
        said: str | None,
        max_tokens: int,
        temperature: float,
        tools: tuple[ToolSpec, ...] = (),
        tool_choice: str = "auto",
    ) -> ChatRequest:
        """A request for the reply to `said`, or to what was said last; see `ChatRequest`."""
        messages = self.messages(said)
        return ChatRequest(messages, self.conversation, max_tokens, temperature, tools=tools, tool_choice=tool_choice)


def _reminded(text: str, recalled: tuple[str, ...]) -> str:
    """The user's words with those of earlier conversations before them.

    In one message, because many models know a system message only at the beginning, and none between two turns.
    """
    if not recalled:
        return text
    earlier = " ".join(f'"{each}"' for each in recalled)
    return f"(In earlier conversations I said: {earlier})\n{text}"
