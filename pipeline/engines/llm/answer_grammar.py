"""JSON in a given form out of any model in process: a grammar that says which tokens may come next.

By llguidance (MIT, a prebuilt wheel), and not by llama.cpp's own grammars: those end the process where a grammar comes
to a dead end, and know a part of JSON Schema only; the same masks serve transformers. A schema of a stranger costs at
most what its limits allow, fetches nothing, and what it cannot do is refused by name.
"""

import asyncio
import importlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.engines.protocols import (
    AnswerForm,
    ChatRequest,
    EngineError,
    EngineUnavailableError,
    Message,
    RequestRefusedError,
)
from pipeline.scheduling.lanes import LaneClosedError, LaneFullError

Allowed = NDArray[np.bool_]
"""Which tokens may come next, shape (vocabulary,)."""

MAX_SCHEMA_BYTES = 64 * 1024
"""Of a schema as JSON; one with 2,000 properties takes about that, and a second of one core to prepare."""

MOST_WAITING = 16
"""Schemas that wait to be prepared; one more is refused."""

ANY_OBJECT: Final = {"type": "object"}

_SPACING: Final = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""JSON on one line: a small model that may write blanks writes nothing else for the rest of its tokens."""


class AnswerGrammars:
    """Prepares grammars for one vocabulary, in a thread of its own: the first takes seconds with a large vocabulary.

    Args:
        vocabulary: gives llguidance's tokenizer; called once, in that thread, when the first grammar is asked for.
    """

    def __init__(self, vocabulary: Callable[[], Any]) -> None:
        self._vocabulary = vocabulary
        self._tokenizer: Any = None
        self._waiting = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="morgan-grammar")

    async def prepare(self, request: ChatRequest) -> "AnswerGrammar | None":
        """The grammar of what a request asks for; None where it asks for plain text.

        Raises:
            RequestRefusedError: the form is none that can be had here; the message says why.
            EngineError: llguidance is missing, or cannot read the vocabulary.
            LaneFullError, LaneClosedError: too many wait, or the engine was closed.
        """
        if request.form is None:
            return None
        if request.tools and request.tool_choice != "none":
            raise RequestRefusedError("this model gives JSON in a form, or calls tools, and not both in one answer")
        schema = json.dumps(request.form.schema or ANY_OBJECT)
        if len(schema) > MAX_SCHEMA_BYTES:
            raise RequestRefusedError(f"the schema may have at most {MAX_SCHEMA_BYTES} bytes")
        if self._waiting >= MOST_WAITING:
            raise LaneFullError(f"{self._waiting} schemas wait to be prepared")
        try:
            preparing = asyncio.get_running_loop().run_in_executor(self._thread, self._prepared, schema)
        except RuntimeError:
            raise LaneClosedError("the language model is closed") from None
        self._waiting += 1
        try:
            return await preparing
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Let the thread end; waits for the grammar in hand."""
        self._thread.shutdown(cancel_futures=True)

    def _prepared(self, schema: str) -> "AnswerGrammar":
        guidance = packages()
        if self._tokenizer is None:
            try:
                self._tokenizer = self._vocabulary()
            except (ValueError, IndexError) as error:
                raise EngineError(f"answers in a form cannot be had of this model: {error}") from error
        try:
            grammar = guidance.LLMatcher.grammar_from_json_schema(schema, overrides=_SPACING)
        except ValueError as error:
            raise RequestRefusedError(f"the schema cannot be used: {error}") from None
        matcher = guidance.LLMatcher(self._tokenizer, grammar, log_level=0)
        if matcher.is_error():
            raise RequestRefusedError(f"the schema cannot be used: {matcher.get_error()[:300]}")
        return AnswerGrammar(matcher)


class AnswerGrammar:
    """Follows one answer, token by token.

    Args:
        matcher: llguidance's, at its beginning.
    """

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher

    def allowed(self) -> Allowed:
        """Which tokens may come next; those that end the answer are among them once it is whole. Costs about 0.3 ms.

        Raises:
            RequestRefusedError: the schema asks for more work than a token may cost.
        """
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        self._check()
        return np.unpackbits(bits, bitorder="little").view(np.bool_)

    def take(self, token: int) -> bool:
        """A token has been chosen; True once nothing can follow."""
        self._matcher.consume_token(token)
        self._check()
        return bool(self._matcher.is_stopped())

    def _check(self) -> None:
        if self._matcher.is_error():
            raise RequestRefusedError(f"the schema cannot be followed: {self._matcher.get_error()[:300]}")


class Spelling:
    """A vocabulary as llguidance takes it (its `TokenizerWrapper`).

    Args:
        tokens: the bytes of each, control tokens by their names.
        controls: ids of those.
        end: id of the token that ends an answer.
        tokenize: a text to ids, control tokens in it taken as text.
    """

    bos_token_id: int | None = None

    def __init__(
        self, tokens: Sequence[bytes], controls: Sequence[int], end: int, tokenize: Callable[[str], list[int]]
    ) -> None:
        self.tokens = tokens
        self.special_token_ids = controls
        self.eos_token_id = end
        self._tokenize = tokenize

    def __call__(self, text: bytes) -> list[int]:
        return self._tokenize(text.decode("utf-8", "replace"))


def told_of_form(request: ChatRequest) -> ChatRequest:
    """The request with its form in its system message too: a grammar keeps a model from all else, and tells it nothing.

    Args:
        request: with a form or without.
    """
    if request.form is None:
        return request
    first, rest = request.messages[:1], request.messages[1:]
    if not first or first[0].role != "system":
        first, rest = (), request.messages
    written = _instruction(request.form)
    told = f"{first[0].content}\n\n{written}" if first else written
    return replace(request, messages=(Message("system", told), *rest))


def _instruction(form: AnswerForm) -> str:
    if form.schema is None:
        return "Answer with one JSON object and nothing else."
    about = f" ({form.description})" if form.description else ""
    return f"Answer with JSON{about} and nothing else. It fits this JSON Schema: {json.dumps(form.schema)}"


def packages() -> Any:
    """llguidance.

    Raises:
        EngineUnavailableError: it is not installed.
    """
    try:
        return importlib.import_module("llguidance")
    except ImportError as error:
        raise EngineUnavailableError(
            f"llguidance is not installed ({error}), which `response_format` needs: `pip install 'morgan-voice[llama]'`"
        ) from error
