"""The thread that runs a llama.cpp model: requests in under a lock, steps of the batcher, callbacks out."""

import contextlib
import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import structlog

from pipeline.engines.gpu import ALL_LAYERS
from pipeline.engines.llm.llama_batcher import Batcher, LlamaStats, Sampling
from pipeline.engines.llm.llama_builds import load_library
from pipeline.engines.llm.llama_job import Job
from pipeline.engines.llm.llama_native import NativeContext, NativeModel, find_gguf
from pipeline.engines.llm.llama_steps import StepLimits, StepPace
from pipeline.engines.llm.llama_threads import compare_threads
from pipeline.engines.protocols import EngineError
from pipeline.scheduling.core_budget import Claim, Room
from pipeline.scheduling.cores import Cores, slots_of
from pipeline.scheduling.lane_load import LaneLoad
from pipeline.scheduling.lanes import LaneClosedError, LaneFullError, Ticket
from pipeline.scheduling.thread_cpu import name_thread

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LlamaOptions:
    """Settings of the in-process language model.

    Attributes:
        path: a GGUF file, or a folder with one.
        threads: of the computation at most; every step takes those whose cores are free. With SmolLM2-135M on two
            cores, 32 prompt tokens take 150 ms on two threads and 230 on one where both cores are free, 260-400 on two
            and 230 on one where something else keeps one core busy. The tokens of a single reply, free cores: 11 ms
            each on two threads, 18 on one; one core busy: 30-50 on two, 18-20 on one. The native build has one
            thread (`llama_builds.native`).
        n_ctx: tokens that prompt and reply of a request may have together; never more than the model was trained for.
        slots: conversations in the cache, and requests that run at once. When all are taken, a new conversation gets
            the one that lay idle longest; its owner's next request is read from the beginning. Each takes `n_ctx`
            tokens of memory from the start (SmolLM2-135M at 2,048: 47 MB).
        capacity: requests that may wait or run; one more raises `LaneFullError`.
        sampling: how tokens are chosen.
        limits: of a step.
        nice: niceness added to the thread (Linux).
        library: folder of the native build of llama.cpp; None for the wheel.
        kernels: folder of its kernels for GPUs; None for the CPU alone.
        gpu_layers: layers on a GPU; `ALL_LAYERS` for all. Then it asks for slots of the GPU in place of cores.
        guidance: help a small model with what requests allow (`guidance.guided`).
        verbose: let llama.cpp print its log.
    """

    path: Path
    threads: int = 2
    n_ctx: int = 2048
    slots: int = 8
    capacity: int = 64
    sampling: Sampling = field(default_factory=Sampling)
    limits: StepLimits = field(default_factory=StepLimits)
    nice: int = 1
    library: Path | None = None
    kernels: Path | None = None
    gpu_layers: int = 0
    guidance: bool = True
    verbose: bool = False


STUCK_S = 0.02
"""Pause behind a step with nothing to do, in which the thread would else keep a core busy."""

THREADS = "llama.cpp"
"""Name of the threads."""


class LlamaWorker:
    """Owns model, cache and thread. The constructor returns when the model is loaded (0.1-0.3 s for small ones).

    Every step asks for a core anew, with the urgency of the most urgent request, and takes further ones if they are
    free.

    Args:
        options: see `LlamaOptions`.
        cores: where the cores come from; those of the process, or slots of the GPU, if not given.

    Attributes:
        load: the same counters as a lane has.
        title: the model's own name.
        n_ctx: tokens of context in use.
        parameters: of the model.
        library: title of the build of llama.cpp that computes.
        threads: of the computation at most.

    Raises:
        EngineUnavailableError: the package or the file is missing or unusable; the message says what to do.
    """

    def __init__(self, options: LlamaOptions, cores: Cores | None = None) -> None:
        self.load = LaneLoad(threads=THREADS)
        self.title = ""
        self.n_ctx = options.n_ctx
        self.parameters = 0
        self.library = ""
        self.threads = options.threads
        self._options = options
        self._path = find_gguf(options.path)
        self._cores = cores or slots_of("cuda" if options.gpu_layers >= ALL_LAYERS else "cpu")
        self._wake = threading.Condition(self._cores.lock)
        self._claim = Claim(Ticket(), Room(1), start=self._wake.notify_all)
        self._inbox: list[Job] = []
        self._held = 0
        self._closed = False
        self._ended = False
        self._loaded = threading.Event()
        self._failure: BaseException | None = None
        self._on_stopped: list[Callable[[], None]] = []
        self._batcher: Batcher | None = None
        self._model: NativeModel | None = None
        self._thread = threading.Thread(target=self._run, name="morgan-llama", daemon=True)
        self._thread.start()
        self._loaded.wait()
        if self._failure is not None:
            raise self._failure

    @property
    def calls_tools(self) -> bool:
        """Whether the model is told of tools."""
        return self._batcher is not None and self._batcher.calls_tools

    def guided_vocabulary(self) -> Any:
        """See `NativeModel.guided_vocabulary`.

        Raises:
            LaneClosedError: the model is gone.
        """
        if self._model is None or self._closed:
            raise LaneClosedError("the language model is closed")
        return self._model.guided_vocabulary()

    @property
    def stats(self) -> LlamaStats:
        """A copy of the counters."""
        return replace(self._batcher.stats) if self._batcher is not None else LlamaStats()

    def submit(self, job: Job) -> None:
        """Hand a request over; its callbacks come on the worker's thread.

        Raises:
            LaneFullError: `capacity` requests wait or run.
            LaneClosedError: the worker was closed.
            EngineError: the worker's thread failed.
        """
        with self._wake:
            if self._failure is not None:
                raise EngineError(f"the language model stopped: {self._failure}")
            if self._closed:
                raise LaneClosedError("the language model is closed")
            if self._held >= self._options.capacity:
                self.load.rejected += 1
                raise LaneFullError(f"the language model has {self._held} requests")
            self._held += 1
            self.load.waiting = self._held - self.load.running
            job.on_end = self._counted(job)
            job.queued_at = time.monotonic()
            self._inbox.append(job)
            job.ticket.watch(self._changed)
            self._wake.notify_all()

    def withdraw(self, job: Job) -> None:
        """Nobody wants a request any more."""
        with self._wake:
            job.withdrawn = True
            self._wake.notify_all()

    def _changed(self, _ticket: Ticket) -> None:
        """The ticket of a request was raised or cancelled, or it rests, or no longer."""
        with self._wake:
            self._wake.notify_all()

    def stop(self, stopped: Callable[[], None] | None = None) -> None:
        """Ask the thread to end after the step in hand; requests that wait or run fail with `LaneClosedError`.

        Args:
            stopped: called when model and cache are freed: on the worker's thread, or here if that was before.
        """
        with self._wake:
            self._closed = True
            ended = self._ended
            if stopped is not None and not ended:
                self._on_stopped.append(stopped)
            self._wake.notify_all()
        if stopped is not None and ended:
            stopped()

    def close(self, timeout: float = 5.0) -> None:
        """`stop`, and wait for it."""
        self.stop()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def _counted(self, job: Job) -> Callable[[BaseException | None], None]:
        on_end = job.on_end

        def ended(error: BaseException | None) -> None:
            job.ticket.unwatch(self._changed)
            with self._wake:
                self._held -= 1
                if job.generated or (error is None and not job.cancelled):
                    self.load.done += 1
                else:
                    self.load.dropped += 1
            on_end(error)

        return ended

    def _run(self) -> None:
        with contextlib.suppress(AttributeError, OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._options.nice)
        name_thread(THREADS)
        batcher: Batcher | None = None
        try:
            with ExitStack() as opened:
                self._batcher = batcher = self._load(opened)
                self._loaded.set()
                try:
                    self._serve(batcher)
                finally:
                    self._turn_away(batcher)
        except BaseException as error:
            self._failure = error
        finally:
            self._loaded.set()
            with self._wake:
                self._closed = self._ended = True
                waiting, self._on_stopped = self._on_stopped, []
            for stopped in waiting:
                stopped()

    def _load(self, opened: ExitStack) -> Batcher:
        options = self._options
        llama = load_library(options.library, options.kernels, verbose=options.verbose)
        model = NativeModel(self._path, llama, options.gpu_layers)
        opened.callback(model.close)
        self._model = model
        self.title, self.library = model.title, model.build.title
        self.threads = model.build.threads(options.threads)
        self.n_ctx, self.parameters = min(options.n_ctx, model.trained_context), model.parameters
        context = NativeContext(
            model,
            slots=options.slots,
            n_ctx=self.n_ctx,
            batch=options.limits.chunk + options.limits.aside_chunk + options.slots,
            threads=self.threads,
        )
        opened.callback(context.close)
        pace = StepPace()
        if not model.on_gpu:
            compare_threads(context, pace, self.threads)
        return Batcher(
            model,
            context,
            slots=options.slots,
            n_ctx=self.n_ctx,
            limits=options.limits,
            sampling=options.sampling,
            threads=self.threads,
            granted=lambda useful: self._cores.widen(self._claim, useful),
            pace=pace,
        )

    def _serve(self, batcher: Batcher) -> None:
        while self._wait_for_turn(batcher):
            with self._wake:
                arrived, self._inbox = self._inbox, []
                started = self.load.running_since = time.monotonic()
            for job in arrived:
                batcher.add(job, started)
            stuck = False
            if self._claim.running:
                try:
                    stuck = not batcher.step(time.monotonic())
                except Exception as error:
                    # What is in hand is lost, and nobody else: without this thread there would be no answers at all.
                    log.exception("a step of the language model failed")
                    batcher.start_over(error)
            else:
                batcher.clear(started)
            with self._wake:
                self._cores.end(self._claim)
                self.load.running_since = None
                self.load.busy_s += time.monotonic() - started
                self.load.waited_s = batcher.stats.waited_s
                self.load.running = batcher.running
                self.load.waiting = self._held - self.load.running
                if stuck:
                    self._wake.wait(STUCK_S)

    def _wait_for_turn(self, batcher: Batcher) -> bool:
        """Wait until there is a core for the most urgent request, or something to clear away; False once closed."""
        with self._wake:
            while not self._closed and not self._claim.running:
                if batcher.littered or any(job.cancelled for job in self._inbox):
                    break
                ticket = self._most_urgent(batcher)
                if ticket is None:
                    self._cores.withdraw(self._claim)
                elif self._claim.waiting:
                    self._cores.move(self._claim, ticket)
                else:
                    self._claim.ticket = ticket
                    self._cores.ask(self._claim)
                if not self._claim.running:
                    self._wake.wait()
            self._cores.withdraw(self._claim)
            if self._closed:
                self._cores.end(self._claim)
            return not self._closed

    def _most_urgent(self, batcher: Batcher) -> Ticket | None:
        """Of the requests that came, and of those that run."""
        tickets = [job.ticket for job in self._inbox if not job.ticket.resting]
        if (running := batcher.most_urgent) is not None:
            tickets.append(running)
        return min(tickets, key=lambda ticket: (ticket.urgency, ticket.deadline), default=None)

    def _turn_away(self, batcher: Batcher) -> None:
        """Nothing may wait for ever, however the thread came to its end."""
        with self._wake:
            self._closed = True
            arrived, self._inbox = self._inbox, []
        closed = LaneClosedError("the language model is closed")
        batcher.abandon(closed)
        for job in arrived:
            job.on_end(closed)
