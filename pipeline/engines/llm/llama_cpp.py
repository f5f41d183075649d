"""The language model in process: a GGUF file through llama.cpp, all conversations in one batch."""

import asyncio
import weakref
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Literal

from pipeline.engines.device import Placement
from pipeline.engines.llm.answer_grammar import AnswerGrammar, AnswerGrammars
from pipeline.engines.llm.guidance import SMALL_PARAMETERS, SaidBack, guided
from pipeline.engines.llm.llama_batcher import LlamaStats
from pipeline.engines.llm.llama_job import Job
from pipeline.engines.llm.llama_worker import LlamaOptions, LlamaWorker
from pipeline.engines.protocols import ChatDelta, ChatRequest, Message
from pipeline.scheduling.lane_load import LaneLoad
from pipeline.scheduling.lanes import Ticket

__all__ = ["LlamaCppLanguageModel", "LlamaOptions"]


class LlamaCppLanguageModel:
    """A `LanguageModel` over llama.cpp.

    Requests share the machine by their tickets, which are read again before every step (10-150 ms): the most
    urgent run, lesser ones come along now and then. Equal ones are evaluated together, which makes four replies at
    once about 1.4 times as fast as one after the other. A conversation (`ChatRequest.conversation`) keeps its cache
    slot, so that only what is new in it is evaluated; a beginning that it shares with another, such as the system
    message, is copied. Messages that no longer fit are left out, the oldest first (`context_window.fit_messages`).

    A ticket that rests stops the generation between two tokens until it does so no longer; its cache slot is kept as
    long as no other call needs it. A cancelled ticket ends the stream without a last delta. When too much waits,
    `stream` and `prefill` raise `LaneFullError`. Deltas that nobody reads wait in a queue; it is bounded by
    `ChatRequest.max_tokens`.

    Build it before the event loop runs, or accept that it blocks for the 0.1-0.3 s that a small model takes to load.

    Args:
        options: see `LlamaOptions`.

    Attributes:
        placement: where it computes and why, once that is known.
        model_id: of the manifest, or the path of the weights, as it was asked for; "" where nobody said.

    Raises:
        EngineUnavailableError: the package or the file is missing or unusable; the message says what to do.
    """

    name = "llama.cpp"
    kind: Literal["in-process", "remote"] = "in-process"
    shapes_answers = True

    def __init__(self, options: LlamaOptions, placement: Placement | None = None) -> None:
        self._worker = LlamaWorker(options)
        self.placement = placement
        self.model_id = ""
        self.model = self._worker.title
        self.calls_tools = self._worker.calls_tools
        self._guides = options.guidance and self._worker.parameters < SMALL_PARAMETERS
        self._grammars = AnswerGrammars(self._worker.guided_vocabulary)
        # Also at interpreter exit, where a thread inside llama.cpp would crash while its library is torn down.
        self._finalizer = weakref.finalize(self, self._worker.close)

    @property
    def configuration(self) -> dict[str, str | int]:
        """What computes, for `/health`."""
        computing: dict[str, str | int] = {"library": self._worker.library, "threads": self._worker.threads}
        return computing | (self.placement.configuration if self.placement else {})

    @property
    def load(self) -> LaneLoad:
        """Counters of requests and of work, as a lane has them."""
        return self._worker.load

    @property
    def stats(self) -> LlamaStats:
        """Counters of tokens, as of now."""
        return self._worker.stats

    @property
    def context_tokens(self) -> int:
        """Tokens that prompt and reply of a request may have together."""
        return self._worker.n_ctx

    async def stream(self, request: ChatRequest, ticket: Ticket) -> AsyncIterator[ChatDelta]:
        """Generate a reply.

        Raises:
            EngineError: this request could not be served; others are not touched.
            RequestRefusedError: the answer cannot be had in the form that was asked for.
            ContextOverflowError: system message and last message do not fit the context.
            LaneFullError: too many requests.
            LaneClosedError: the model was closed.
        """
        results: asyncio.Queue[ChatDelta | _End] = asyncio.Queue()
        while True:
            job = self._submit(request, ticket, results, generate=True, grammar=await self._grammars.prepare(request))
            try:
                while not isinstance(item := await results.get(), _End):
                    if not job.garbled:
                        yield item
                if item.error is not None:
                    raise item.error
            finally:
                self._worker.withdraw(job)
            if not job.garbled:
                return
            # It asked for a tool that there is none of: it is to answer in words.
            request = replace(request, tool_choice="none")

    async def prefill(self, request: ChatRequest, ticket: Ticket) -> None:
        """Evaluate what the prompt will have in common with those to come, in which the user goes on or says something.

        Raises as `stream` does.
        """
        results: asyncio.Queue[ChatDelta | _End] = asyncio.Queue()
        job = self._submit(request, ticket, results, generate=False)
        try:
            item = await results.get()
        finally:
            self._worker.withdraw(job)
        if isinstance(item, _End) and item.error is not None:
            raise item.error

    async def warm_up(self) -> None:
        """Generate two tokens."""
        request = ChatRequest((Message("user", "Hello"),), max_tokens=2)
        async for _ in self.stream(request, Ticket()):
            pass

    async def close(self) -> None:
        """Free model and cache once the step in hand is done; what waits or runs fails with `LaneClosedError`."""
        loop = asyncio.get_running_loop()
        freed: asyncio.Future[None] = loop.create_future()
        self._finalizer.detach()
        # First: it reads the vocabulary, which goes with the model.
        await loop.run_in_executor(None, self._grammars.close)

        def settle() -> None:
            if not freed.done():
                freed.set_result(None)

        def stopped() -> None:
            _post(loop, settle)

        self._worker.stop(stopped)
        await freed

    def _submit(
        self,
        request: ChatRequest,
        ticket: Ticket,
        results: "asyncio.Queue[ChatDelta | _End]",
        *,
        generate: bool,
        grammar: AnswerGrammar | None = None,
    ) -> Job:
        loop = asyncio.get_running_loop()

        def deliver(item: "ChatDelta | _End") -> None:
            if not _post(loop, results.put_nowait, item):
                job.withdrawn = True

        said_back = None
        if request.guidance and self._guides:
            said_back = SaidBack(request.asked)
            request = guided(request, self._worker.parameters)
        job = Job(request, ticket, generate, deliver, lambda error: deliver(_End(error)), grammar, said_back)
        self._worker.submit(job)
        return job


class _End:
    """The end of a request, with what went wrong."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def _post(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: object) -> bool:
    """Call a function on the loop's thread; False when the loop is gone."""
    try:
        loop.call_soon_threadsafe(function, *args)
    except RuntimeError:
        return False
    return True
