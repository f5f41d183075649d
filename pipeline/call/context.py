"""The conversation so far, as the language model gets to see it."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from pipeline.call.circumstances import Circumstances, Moment
from pipeline.call.memories import Memories, in_words
from pipeline.engines.guidance import Guidance
from pipeline.engines.images import Image, with_placeholders
from pipeline.engines.protocols import ChatRequest, Message, ToolCall, ToolSpec
from pipeline.text.languages import NAMES
from pipeline.text.words import primary_language

CUT_MARK = " —"
"""Ends a reply that the user interrupted, in the context; the instructions explain it to the model."""

BLOCKS = 4
"""The oldest messages that the model sees go by this fraction (1/4) of them."""

KEPT = 4
"""So many times as many entries are kept as the model sees; memory has the rest."""

INSTRUCTIONS = "You are Morgan, a friendly and helpful voice assistant."
"""How Morgan is where nobody says otherwise."""

SPOKEN_RULES = (
    "This is a phone call, and a voice reads your words aloud. "
    "Answer at once and briefly: a few words where they are enough, else one or two short sentences; "
    "go on for longer only when the user asks for a story, an explanation or a list. "
    "Use plain spoken sentences, with numbers that are easy to hear, and no markdown, bullets, code, links or emoji. "
    "Do what the user asks, remember what they told you, and say so when you do not know something. "
    "A reply of yours that ends in — was interrupted there by the user."
)
"""How to speak. It stands before everything that differs from call to call, so that language models read it once."""

TOLD_AGAIN_S = 600.0
"""After so long the model is told the time again, with the user's words."""


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
        recalled: what the user had said in earlier conversations, or has to read, and the model was reminded of here.
        language: English name of the language that the model was told here to answer in.
        time: date and time that it was told here.
        images: what the user showed with it.
    """

    item_id: str
    role: Literal["user", "assistant", "tool", "system"]
    text: str
    interrupted: bool = False
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    recalled: Memories = ()
    language: str = ""
    time: str = ""
    images: tuple[Image, ...] = ()

    @property
    def written(self) -> str:
        """The words, with a placeholder for each image: what is kept of it beyond the call."""
        return with_placeholders(self.text, self.images)

    def message(self) -> Message:
        """As the language model is told of it."""
        text = _noted(self.text, self.recalled, self.language, self.time)
        noted = len(text) - len(self.text)
        images = tuple(replace(image, at=image.at + noted) for image in self.images)
        mark = CUT_MARK if self.interrupted else ""
        return Message(self.role, text + mark, self.tool_call_id, self.tool_calls, images)


class Context:
    """The conversation of one call, in order.

    The prompt only ever grows at its end, so that language models keep what they have read: the system message is
    written once, and what changes afterwards (the time, the language to answer in) stands before the words that the
    user said then, and stays there.

    Args:
        instructions: how Morgan should be.
        conversation: key under which language models may cache the prefix.
        max_entries: older ones are left out of what the model sees.
        rules: added to the instructions; those for spoken answers unless the answers are read.
        circumstances: who calls, and what time it is there.

    Attributes:
        recalled: what the user said earlier, or has to read, that fits the words in hand. It stands right before them
            and stays there, so that the prompt only ever grows at its end, and language models keep what they read.
    """

    def __init__(
        self,
        instructions: str,
        conversation: str,
        max_entries: int = 40,
        rules: str = SPOKEN_RULES,
        circumstances: Circumstances | None = None,
    ) -> None:
        self._instructions = instructions
        self.conversation = conversation
        self.entries: list[Entry] = []
        self.recalled: Memories = ()
        self._max_entries = max_entries
        self._rules = rules
        self._circumstances = circumstances or Circumstances()
        self._language = ""
        self._tells_language = False
        self._system = ""
        self._system_language = ""
        self._told: Moment | None = None
        self._began_at: float | None = None
        self._elapsed_s = 0.0
        self._forgotten = 0
        self._language_due = ""
        self._time_due = ""

    @property
    def instructions(self) -> str:
        """How Morgan should be; other ones change the prompt from its beginning on."""
        return self._instructions

    @instructions.setter
    def instructions(self, instructions: str) -> None:
        if instructions != self._instructions:
            self._instructions, self._system = instructions, ""

    def pass_time(self, now: float) -> None:
        """It is this late, in monotonic seconds: the first time that this is told is the beginning."""
        if self._began_at is None:
            self._began_at = now
        self._elapsed_s = now - self._began_at

    def beginning(self) -> dict[str, Any]:
        """What `Context` is made of to begin as this one is now, and its entries."""
        return {
            "instructions": self.instructions,
            "conversation": self.conversation,
            "max_entries": self._max_entries,
            "rules": self._rules,
            "circumstances": self._circumstances,
            "entries": list(self.entries),
        }

    @property
    def last_id(self) -> str | None:
        """Item id of the last entry."""
        return self.entries[-1].item_id if self.entries else None

    def add(self, entry: Entry) -> None:
        """Append a message, or replace the one with the same id."""
        for index, known in enumerate(self.entries):
            if known.item_id == entry.item_id:
                self.entries[index] = replace(entry, language=known.language, time=known.time)
                return
        if entry.role == "user":
            # As in the prompt that the model may be answering already.
            entry = replace(entry, language=self._language_due, time=self._time_due)
            self._language_due = self._time_due = ""
        self.entries.append(entry)
        # However long a call is, and however fast its user types.
        beyond = max(0, len(self.entries) - self._max_entries * KEPT)
        del self.entries[:beyond]
        self._forgotten += beyond

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

    def messages(self, said: str | None = None) -> tuple[Message, ...]:
        """The messages for the language model.

        Args:
            said: the user's words in hand, which are not (or not yet) part of the conversation.
        """
        listed = [Message("system", self._system or self._begin())]
        listed += [entry.message() for entry in self._recent()]
        if said is not None:
            self._note()
            listed.append(Message("user", _noted(said, self.recalled, self._language_due, self._time_due)))
        return tuple(listed)

    def _begin(self) -> str:
        """Write the system message: first what all calls have in common, last what changes soonest."""
        self._told = self._circumstances.moment(self._elapsed_s)
        self._system_language = self._wanted_language()
        name, told = " ".join(self._circumstances.name.split()), self._told
        time = f"It is {told.words}." if told else ""
        # Told by the hour, all have the time in common as well; behind it a small model keeps to the question better.
        common = (time, self._rules, "") if self._circumstances.hourly else ("", self._rules, time)
        parts = (
            self._instructions,
            *common[:2],
            f"The user's name is {name}." if name else "",
            common[2],
            f"Answer in {self._system_language}." if self._system_language else "",
        )
        self._system = "\n".join(part for part in parts if part)
        return self._system

    def _wanted_language(self) -> str:
        return NAMES.get(primary_language(self._language), "") if self._tells_language else ""

    def _note(self) -> None:
        """What the model is to be told with the words in hand."""
        told = next((entry.language for entry in reversed(self._recent()) if entry.language), self._system_language)
        wanted = self._wanted_language()
        self._language_due = wanted if wanted != (told or "English") else ""
        # Once due, it stays as it is until the words are part of the conversation: the model reads them meanwhile.
        now = None if self._time_due else self._circumstances.moment(self._elapsed_s)
        if now is not None and self._told is not None and now.seconds - self._told.seconds >= TOLD_AGAIN_S:
            self._told, self._time_due = now, now.words

    def seen(self) -> tuple[Entry, ...]:
        """The entries that the model sees."""
        return tuple(self._recent())

    def _recent(self) -> list[Entry]:
        """The entries that the model sees; a tool's result is not seen without the question to the tool.

        The oldest go by blocks: with one less in every turn, no turn would find its beginning in a model's cache.
        """
        beyond = self._forgotten + len(self.entries) - self._max_entries
        block = max(1, self._max_entries // BLOCKS)
        recent = self.entries[max(0, -(-beyond // block) * block - self._forgotten) :]
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
        return ChatRequest(
            messages,
            self.conversation,
            max_tokens,
            temperature,
            tools=tools,
            tool_choice=tool_choice,
            guidance=self._guidance(),
        )

    def _guidance(self) -> Guidance:
        """What a small model is helped with: in English alone."""
        return Guidance.NONE if self._tells_language else guidance_for(self.instructions, self._rules)


def guidance_for(instructions: str, rules: str = SPOKEN_RULES) -> Guidance:
    """What a small model is helped with where answers are spoken: in manner where nobody asked for another one."""
    if rules != SPOKEN_RULES:
        return Guidance.NONE
    return Guidance.FACTS | Guidance.MANNER if instructions == INSTRUCTIONS else Guidance.FACTS


def shared_beginning(instructions: str, rules: str = SPOKEN_RULES) -> ChatRequest:
    """What the prompts of all calls with these instructions begin with, for a language model to read ahead."""
    system = Message("system", f"{instructions}\n{rules}")
    return ChatRequest((system,), max_tokens=1, guidance=guidance_for(instructions, rules))


def _noted(text: str, recalled: Memories, language: str, time: str) -> str:
    """The user's words, before them what the model has to know with them.

    In one message, because many models know a system message only at the beginning, and none between two turns.
    """
    notes = in_words(recalled)
    if time:
        notes.append(f"It is now {time}.")
    if language:
        notes.append(f"Answer in {language}.")
    return f"({' '.join(notes)})\n{text}" if notes else text
