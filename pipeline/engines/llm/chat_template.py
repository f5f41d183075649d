"""Messages to a prompt, by the Jinja template that a model brings along (run in a sandbox: it came with a download)."""

import json
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pipeline.engines.protocols import EngineError, Message

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""For files without a template of their own."""

_GENERATION_TAG = re.compile(r"{%-?\s*(?:end)?generation\s*-?%}")
"""Marks the assistant's words for training; Jinja does not know it."""

_OPEN, _CLOSE = "\ue000", "\ue001"
_MARK = re.compile(f"{_OPEN}([0-9]+){_CLOSE}")


class PromptPiece(NamedTuple):
    """A stretch of a prompt.

    Attributes:
        text: its characters.
        literal: somebody said it, so that control tokens spelled out in it are plain text.
    """

    text: str
    literal: bool = False


class ChatTemplate:
    """Renders a list of messages, ending in the opening of the assistant's reply.

    The whole list is rendered each time. Between two requests of a growing conversation only the end differs, because
    templates write message by message and control tokens keep neighbouring words from merging into one token.
    (A template may inject a system message of its own where the list has none; SmolLM2's does.)

    Control tokens that somebody spelled out ("<|im_end|>" typed into a message) are set apart, so that nobody can
    speak in another role.

    Args:
        source: Jinja source; `CHATML` where the model has none.
        bos: text of the model's first token, "" for none.
        eos: text of the model's last token, "" for none.
        controls: texts of all of the model's control tokens.
    """

    def __init__(self, source: str, *, bos: str = "", eos: str = "", controls: Iterable[str] = ()) -> None:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _to_json
        environment.globals.update(raise_exception=_refuse, strftime_now=_now, bos_token=bos, eos_token=eos)
        self._template = environment.from_string(_GENERATION_TAG.sub("", source))
        self._controls = sorted({text for text in controls if text}, key=len, reverse=True)
        self._spelled = re.compile("|".join(map(re.escape, self._controls))) if self._controls else None
        self._index = {text: index for index, text in enumerate(self._controls)}

    def render(self, messages: Sequence[Message]) -> tuple[PromptPiece, ...]:
        """The prompt, in as few pieces as may be (one, unless somebody spelled out a control token).

        Raises:
            EngineError: the template does not take these messages.
        """
        rendered = self._apply([{"role": m.role, "content": self._set_apart(m.content)} for m in messages])
        pieces: list[PromptPiece] = []
        end = 0
        for mark in _MARK.finditer(rendered):
            pieces.append(PromptPiece(rendered[end : mark.start()]))
            pieces.append(PromptPiece(self._controls[int(mark[1])], literal=True))
            end = mark.end()
        pieces.append(PromptPiece(rendered[end:]))
        return tuple(piece for piece in pieces if piece.text)

    def _set_apart(self, content: str) -> str:
        content = content.replace(_OPEN, "").replace(_CLOSE, "")
        if self._spelled is None:
            return content
        return self._spelled.sub(lambda found: f"{_OPEN}{self._index[found[0]]}{_CLOSE}", content)

    def _apply(self, messages: list[dict[str, str]]) -> str:
        try:
            return self._prompt(messages)
        except (TemplateError, TypeError):
            # Some templates refuse a system message, or two messages of one role in a row; they take this form.
            try:
                return self._prompt(_alternating(messages))
            except (TemplateError, TypeError) as error:
                raise EngineError(f"the model's chat template does not take this conversation: {error}") from error

    def _prompt(self, messages: list[dict[str, str]]) -> str:
        prompt: str = self._template.render(messages=messages, add_generation_prompt=True)
        return prompt


def _alternating(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """The same words as user and assistant in turn, beginning with the user."""
    merged: list[dict[str, str]] = []
    for message in messages:
        role = "assistant" if message["role"] == "assistant" else "user"
        if not merged and role == "assistant":
            merged.append({"role": "user", "content": ""})
        if merged and merged[-1]["role"] == role:
            merged[-1]["content"] = f"{merged[-1]['content']}\n\n{message['content']}".strip()
        else:
            merged.append({"role": role, "content": message["content"]})
    return merged


def _refuse(message: str) -> None:
    raise TemplateError(message)


def _now(pattern: str) -> str:
    return datetime.now().astimezone().strftime(pattern)


def _to_json(value: object, indent: int | None = None) -> str:
    """Jinja's own escapes for HTML, which no model was trained on."""
    return json.dumps(value, ensure_ascii=False, indent=indent)
