"""A language model in whose place another one can be put while calls go on."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from typing import Any, Literal

from pipeline.engines.protocols import ChatDelta, ChatRequest, LanguageModel
from pipeline.scheduling.lanes import Ticket


class ReplaceableLanguageModel:
    """A `LanguageModel` that hands everything on to the one that it has at the time.

    Replies that have begun are finished by the model that began them; it is closed when the last of them is.

    Args:
        first: the model to begin with.
    """

    def __init__(self, first: LanguageModel) -> None:
        self._current = first
        self._busy: dict[LanguageModel, int] = {}
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        """Of the engine."""
        return self._current.name

    @property
    def kind(self) -> Literal["in-process", "remote"]:
        """Where it works."""
        return self._current.kind

    @property
    def model(self) -> str:
        """Name of the model that answers now."""
        return self._current.model

    @property
    def calls_tools(self) -> bool:
        """Whether that one can call tools."""
        return self._current.calls_tools

    def __getattr__(self, name: str) -> Any:
        return getattr(self._current, name)

    def replace(self, other: LanguageModel) -> None:
        """Let another model answer from now on. On the event loop."""
        before, self._current = self._current, other
        if not self._busy.get(before):
            self._close(before)

    async def stream(self, request: ChatRequest, ticket: Ticket) -> AsyncIterator[ChatDelta]:
        """See `LanguageModel`."""
        with self._used() as model:
            async with aclosing(model.stream(request, ticket)) as deltas:  # type: ignore[type-var]
                async for delta in deltas:
                    yield delta

    async def prefill(self, request: ChatRequest, ticket: Ticket) -> None:
        """See `LanguageModel`."""
        with self._used() as model:
            await model.prefill(request, ticket)

    async def warm_up(self) -> None:
        """See `Engine`."""
        await self._current.warm_up()

    async def close(self) -> None:
        """Close the model, and those before it that are still to be closed."""
        await self._current.close()
        await asyncio.gather(*self._closing)

    @contextmanager
    def _used(self) -> Iterator[LanguageModel]:
        model = self._current
        self._busy[model] = self._busy.get(model, 0) + 1
        try:
            yield model
        finally:
            self._busy[model] -= 1
            if not self._busy[model]:
                del self._busy[model]
                if model is not self._current:
                    self._close(model)

    def _close(self, model: LanguageModel) -> None:
        task = asyncio.ensure_future(model.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
