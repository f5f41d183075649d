"""Tokens of texts that earlier prompts had too, within a bound in bytes."""

import sys
from array import array
from collections import OrderedDict
from collections.abc import Callable

LIMIT = 4 * 2**20
"""Bytes that a model keeps. A conversation of 2,048 tokens takes about 25 kB."""

_ENTRY = 200
"""Bytes of an entry besides its text and its tokens: key, places in the table, headers."""

Text = tuple[str, bool]
"""A text, and whether control tokens that are spelled out in it count as such."""

Tokenizer = Callable[[str, bool], "array[int]"]


class TokenCache:
    """Tokens by text, those used longest ago forgotten first.

    Args:
        limit: bytes, texts and tokens together.

    Attributes:
        size: bytes in use.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.size = 0
        self._limit = limit
        self._entries: OrderedDict[Text, array[int]] = OrderedDict()

    def get(self, text: Text) -> "array[int] | None":
        """Its tokens, where they are known."""
        ids = self._entries.get(text)
        if ids is not None:
            self._entries.move_to_end(text)
        return ids

    def put(self, text: Text, ids: "array[int]") -> None:
        """Keep its tokens; what is larger than the bound is not kept."""
        cost = _cost(text, ids)
        if text in self._entries or cost > self._limit:
            return
        self._entries[text] = ids
        self.size += cost
        while self.size > self._limit:
            self.size -= _cost(*self._entries.popitem(last=False))


class PromptTokens:
    """The tokens of one request's texts, looked up or made, however often its prompt is rendered until it fits.

    What a request needed goes into the cache when it is accepted, and then only what its prompt holds in the end:
    neither a refused request nor the messages that no longer fit leave anything behind.

    Args:
        cache: of the model.
        tokenize: makes tokens of a text.
    """

    def __init__(self, cache: TokenCache, tokenize: Tokenizer) -> None:
        self._cache = cache
        self._tokenize = tokenize
        self._made: dict[Text, array[int]] = {}
        self._prompt: dict[Text, array[int]] = {}

    def begin(self) -> None:
        """The prompt is rendered anew."""
        self._prompt = {}

    def of(self, text: str, controls: bool) -> "array[int]":
        """Tokens of a text of the prompt.

        Args:
            text: it.
            controls: whether control tokens that are spelled out in it count as such.
        """
        key = (text, controls)
        ids = self._made.get(key) or self._cache.get(key)
        if ids is None:
            ids = self._made[key] = self._tokenize(text, controls)
        self._prompt[key] = ids
        return ids

    def accept(self) -> None:
        """The request runs: its texts will come again."""
        for text, ids in self._prompt.items():
            self._cache.put(text, ids)


def _cost(text: Text, ids: "array[int]") -> int:
    return sys.getsizeof(text[0]) + sys.getsizeof(ids) + _ENTRY
