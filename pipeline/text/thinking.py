"""Thoughts of reasoning models, taken out of what they say.

Such a model thinks between `<think>` and `</think>` before it answers, now and then in the middle of it; where its
template opened the block, the opening tag is part of the prompt and never comes. Thoughts are neither heard nor shown
nor kept.
"""

import re
from typing import Final

NAMES: Final = ("think", "thinking", "thought", "thoughts", "reasoning")
_OPENINGS: Final = tuple(f"<{name}>" for name in NAMES)
_CLOSINGS: Final = tuple(f"</{name}>" for name in NAMES)
_LONGEST: Final = max(map(len, _CLOSINGS))
_TAG = re.compile(f"<(/?)(?:{'|'.join(NAMES)})>", re.IGNORECASE)
_OPENED = re.compile(rf"<(?:{'|'.join(NAMES)})>\s*$", re.IGNORECASE)
_UNTAGGED_NAMES = re.compile(r"(?:^|[^a-z])(?:r1|qwq|thinking|thinker|reasoner|reasoning)(?:[^a-z]|$)", re.IGNORECASE)


class ThoughtFilter:
    """Takes the thoughts out of one reply as it comes, however it is cut into pieces.

    Args:
        opened: the reply begins within a thought, whose opening tag is in the prompt.
        sure: that is known, so that a reply without a closing tag is all thought; else it is all words.

    Attributes:
        thinking: what comes now is thought.
        thought: there have been thoughts.
        unopened: a thought was closed that no tag had opened: this model's replies begin within one.
    """

    def __init__(self, *, opened: bool = False, sure: bool = True) -> None:
        self.thinking = opened
        self.thought = False
        self.unopened = False
        self._tagged = not opened
        self._kept = "" if opened and not sure else None
        self._held = ""
        self._said = False
        self._trim = opened

    def feed(self, text: str) -> str:
        """The words among the next characters."""
        self._held += text
        words = ""
        while (tag := _TAG.search(self._held)) is not None:
            words += self._passed(self._held[: tag.start()])
            self._held = self._held[tag.end() :]
            self._turn(closing=bool(tag[1]))
        keep = _undecided(self._held)
        words += self._passed(self._held[: len(self._held) - keep])
        self._held = self._held[len(self._held) - keep :]
        return words

    def finish(self) -> str:
        """What was held back, now that the reply is complete."""
        rest, self._held = self._held, ""
        if self.thinking and self._kept is not None and not self._tagged:
            # There was no thought after all.
            words, self._kept, self.thinking, self.thought = self._kept + rest, None, False, False
            return words.lstrip()
        return self._passed(rest)

    def _turn(self, *, closing: bool) -> None:
        if not closing:
            self.thinking, self._tagged = True, True
        elif self.thinking:
            self.thinking, self._trim = False, True
            self.unopened = self.unopened or not self._tagged
        else:
            # What was said before it was thought, and cannot be taken back; from the next reply on it can.
            self.unopened, self.thought, self._trim = True, True, True
        self._kept = None

    def _passed(self, text: str) -> str:
        """What of a text without tags is words."""
        if self.thinking:
            self.thought = self.thought or bool(text.strip())
            if self._kept is not None:
                self._kept += text
            return ""
        if self._trim:
            # White space around a thought belongs to it; between words, one space is left of it.
            text = text.lstrip()
            if text:
                text, self._trim = (f" {text}" if self._said else text), False
        self._said = self._said or bool(text.strip())
        return text


def without_thoughts(text: str) -> str:
    """The words of a whole reply."""
    if "<" not in text:
        return text
    closings = [tag for tag in _TAG.finditer(text) if tag[1]]
    first = _TAG.search(text)
    found = ThoughtFilter(opened=bool(closings) and first is not None and bool(first[1]))
    return (found.feed(text) + found.finish()).strip() if first is not None else text


def opens_thought(prompt: str) -> bool:
    """Whether a prompt ends within a thought, so that the reply begins there."""
    return bool(_OPENED.search(prompt[-2 * _LONGEST :]))


def likely_untagged(model: str) -> bool:
    """Whether a model of this name is likely to begin its replies within a thought."""
    return bool(_UNTAGGED_NAMES.search(model))


def _undecided(text: str) -> int:
    """Length of the tail that may be the beginning of a tag."""
    at = text.rfind("<", max(0, len(text) - _LONGEST))
    if at < 0:
        return 0
    tail = text[at:].lower()
    return len(tail) if any(tag.startswith(tail) for tag in (*_OPENINGS, *_CLOSINGS)) else 0
