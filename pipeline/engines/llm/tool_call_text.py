"""Tool calls that a model in process writes into its reply, told apart from what it says.

Models are shown `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`; small ones forget the tags, or put the
object into a code block. Where tools were offered, neither is ever meant to be heard.
"""

import json
import re
import uuid
from collections.abc import Iterable, Iterator
from typing import Any, Final

from pipeline.engines.protocols import ToolCall, ToolSpec

_TAG: Final = "<tool_call>"
_BEGINNINGS: Final = (_TAG, "{", "[", "```", "<function", "<tools>")
"""How a reply begins that is a tool call."""

_OPENING: Final = "\"'“‘«„¿¡-+$€£¥"
"""Signs that words and numbers may begin with."""

_TAGS = re.compile(r"</?tool_call>|</?tools>|```(?:json)?")
_OBJECT = re.compile(r'"name"\s*:.*"(?:arguments|parameters)"\s*:', re.DOTALL)
"""What any object is told by that asks for a tool."""

_DECODER = json.JSONDecoder()


class ToolCallText:
    """Of one reply to a request with tools.

    Args:
        tools: that were offered.
    """

    def __init__(self, tools: Iterable[ToolSpec]) -> None:
        self._names = {tool.name for tool in tools}
        self._held = ""
        self._began = False
        self._calling = False
        self._garbled = False

    @property
    def garbled(self) -> bool:
        """Whether all that came is a call of a tool that was not offered: to be neither heard nor run."""
        return self._garbled and not self._began

    @property
    def wordless(self) -> bool:
        """Whether nothing came yet but blanks."""
        return not self._began and not self._calling

    def begins_words(self, text: str) -> bool:
        """Whether words might begin with a text: signs alone begin code, tags and calls."""
        start = (self._held + text).lstrip()
        return not start or start[0].isalnum() or start[0] in _OPENING

    def feed(self, text: str) -> str:
        """The characters that are surely words."""
        self._held += text
        if self._calling:
            return ""
        if not self._began:
            start = self._held.lstrip()
            if any(start.startswith(beginning) for beginning in _BEGINNINGS):
                self._calling = True
                return ""
            if not start or any(beginning.startswith(start) for beginning in _BEGINNINGS):
                return ""
            self._began = True
        at = self._held.find(_TAG)
        self._calling = at >= 0
        keep = len(self._held) - at if self._calling else _undecided(self._held)
        words, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return words

    def finish(self) -> tuple[str, tuple[ToolCall, ...]]:
        """The rest of the words, and what is asked of tools."""
        held, self._held = self._held, ""
        calls = tuple(self._calls(held)) if self._calling else ()
        self._garbled = not calls and self._calling and (_TAG in held or bool(_OBJECT.search(held)))
        return ("" if calls or self._garbled else _TAGS.sub("", held)), calls

    def _calls(self, text: str) -> Iterator[ToolCall]:
        at = text.find("{")
        while at >= 0:
            try:
                found, end = _DECODER.raw_decode(text, at)
            except ValueError:
                # The template shows its example in two braces, and models copy that.
                end, found = at + 1, None
            if (call := self._call(found)) is not None:
                yield call
            at = text.find("{", end)

    def _call(self, found: Any) -> ToolCall | None:
        """A decoded object as a tool call; None where it is none."""
        if not isinstance(found, dict):
            return None
        inner = found.get("function")
        asked: dict[str, Any] = inner if isinstance(inner, dict) else found
        name = asked.get("name")
        if not isinstance(name, str) or name not in self._names:
            return None
        arguments = asked.get("arguments", asked.get("parameters", {}))
        written = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        return ToolCall(f"call_{uuid.uuid4().hex[:12]}", name, written or "{}")


def _undecided(text: str) -> int:
    """Length of the tail that may be the beginning of a tag."""
    at = text.rfind("<", max(0, len(text) - len(_TAG)))
    return len(text) - at if at >= 0 and _TAG.startswith(text[at:]) else 0
