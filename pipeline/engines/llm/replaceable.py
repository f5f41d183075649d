"""A language model in whose place another one can be put while calls go on, for all of them or for as many as it can.

What is wise is slow: where one call is all that a wise model can answer in time, the quick one stays beside it and
answers while there are more. A conversation that the quick one has answered stays with it until the wise one has read
it: six turns are four seconds of reading, which would be a caller's wait.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any, Literal

from pipeline.engines.protocols import ChatDelta, ChatRequest, EngineError, LanguageModel
from pipeline.scheduling.lanes import LaneClosedError, LaneFullError, Ticket, Urgency

MOST_REMEMBERED = 256
"""Conversations of which is known that the quick model has answered them; the oldest is forgotten first."""


class ReplaceableLanguageModel:
    """A `LanguageModel` that hands everything on to the one that it has at the time.

    Replies that have begun are finished by the model that began them; one that was replaced is closed when the last of
    them is, unless it is kept for crowds.

    Args:
        first: the model to begin with.
    """

    def __init__(self, first: LanguageModel) -> None:
        self._current = self._first = first
        self._quick: LanguageModel | None = None
        self._crowded: Callable[[], bool] = lambda: False
        self._busy: dict[LanguageModel, int] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._with_quick: dict[str, None] = {}
        self._reading: dict[str, asyncio.Task[None]] = {}

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

    @property
    def quick(self) -> LanguageModel | None:
        """The model that there was first, while it answers anybody."""
        return self._current if self._current is self._first else self._quick

    def __getattr__(self, name: str) -> Any:
        return getattr(self._current, name)

    def replace(self, other: LanguageModel, crowded: Callable[[], bool] | None = None) -> None:
        """Let another model answer from now on. On the event loop.

        Args:
            other: the model.
            crowded: asked before each piece of work: whether the quickest that there was is to do it, which is kept
                for that; None closes it.
        """
        before, self._current = self._current, other
        self._with_quick.clear()
        quick = self._quick or before
        self._quick, self._crowded = (quick, crowded) if crowded is not None else (None, lambda: False)
        for model in {before, quick} - {self._quick}:
            if not self._busy.get(model):
                self._close(model)

    async def stream(self, request: ChatRequest, ticket: Ticket) -> AsyncIterator[ChatDelta]:
        """See `LanguageModel`."""
        with self._used(self._chosen(request.conversation)) as model:
            try:
                async with aclosing(model.stream(request, ticket)) as deltas:  # type: ignore[type-var]
                    async for delta in deltas:
                        yield delta
            finally:
                # However it ended: most replies are longer than they are wanted.
                if model is self._quick and request.conversation in self._with_quick and not self._crowded():
                    self._hand_back(request)

    async def prefill(self, request: ChatRequest, ticket: Ticket) -> None:
        """See `LanguageModel`."""
        with self._used(self._chosen(request.conversation)) as model:
            await model.prefill(request, ticket)

    async def warm_up(self) -> None:
        """See `Engine`."""
        await self._current.warm_up()

    async def close(self) -> None:
        """Close the model, and those before it that are still to be closed."""
        for task in list(self._reading.values()):
            task.cancel()
        await asyncio.gather(*self._reading.values(), return_exceptions=True)
        await self._current.close()
        if self._quick is not None:
            await self._quick.close()
        await asyncio.gather(*self._closing)

    def _chosen(self, conversation: str) -> LanguageModel:
        """Who works on a conversation now."""
        if self._quick is None:
            return self._current
        if not self._crowded():
            return self._quick if conversation in self._with_quick else self._current
        if conversation:
            self._with_quick.pop(conversation, None)
            self._with_quick[conversation] = None
            while len(self._with_quick) > MOST_REMEMBERED:
                del self._with_quick[next(iter(self._with_quick))]
        return self._quick

    def _hand_back(self, request: ChatRequest) -> None:
        """Have the wise model read a conversation while nobody waits for it; it goes on with it from then on."""
        name = request.conversation
        if name not in self._reading:
            task = self._reading[name] = asyncio.ensure_future(self._read(request))
            task.add_done_callback(lambda _: self._reading.pop(name, None))

    async def _read(self, request: ChatRequest) -> None:
        # Refused or broken off, the quick model simply goes on.
        with contextlib.suppress(EngineError, LaneFullError, LaneClosedError), self._used(self._current) as model:
            await model.prefill(request, Ticket(Urgency.BACKGROUND))
            if model is self._current:
                self._with_quick.pop(request.conversation, None)

    @contextmanager
    def _used(self, model: LanguageModel) -> Iterator[LanguageModel]:
        self._busy[model] = self._busy.get(model, 0) + 1
        try:
            yield model
        finally:
            self._busy[model] -= 1
            if not self._busy[model]:
                del self._busy[model]
                if model is not self._current and model is not self._quick:
                    self._close(model)

    def _close(self, model: LanguageModel) -> None:
        task = asyncio.ensure_future(model.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
