"""Fetches the wisest language model that this machine affords while calls are answered, and puts it in place."""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import replace

import structlog

from pipeline.call.context import shared_beginning
from pipeline.engines.llm.replaceable import ReplaceableLanguageModel
from pipeline.engines.protocols import EngineError, LanguageModel
from pipeline.engines.speeds import LanguageModelSpeed, measure_language_model
from pipeline.models import Model, ModelError, ModelStore
from pipeline.scheduling.cores import CORES
from pipeline.scheduling.lanes import Ticket
from server.calls.capacity import Capacity, calls_in_time, others_s
from server.engines.factory import build_llm
from server.minds.choice import choose_among, is_here, too_slow
from server.minds.speed_book import keep_speeds, load_speeds
from server.settings import Settings

SETTLE_S = 20.0
"""Between two measurements of what seems too slow: perhaps the machine was busy with something else."""

QUIET_EVERY_S = 1.0
"""Between two looks whether there is a call."""

NICE = 19
"""Of the thread that fetches: calls go first."""

log = structlog.get_logger(__name__)


class Upgrade:
    """Of one server, once after its start.

    Nobody waits for it: the first call is answered by the quick model. It fetches, and while there is no call it loads,
    measures and takes what it fetched; what turns out too slow is not taken, now or at later starts. What was measured
    at an earlier start is taken at once. The quick model stays for when there are more calls than the wise one
    can answer in time; how many may be open goes by it.

    Args:
        settings: the effective ones, `llm_model` being what answers now.
        llm: what answers now.
        capacity: told how fast the new one is for a caller alone.
        calls: how many there are.
        tell: says to people what happens.
        store: the weights; those of the settings by default.
        build: loads a language model; blocks.
    """

    def __init__(
        self,
        settings: Settings,
        llm: ReplaceableLanguageModel,
        capacity: Capacity,
        calls: Callable[[], int],
        tell: Callable[[str], None],
        store: ModelStore | None = None,
        build: Callable[[Settings], LanguageModel] = build_llm,
    ) -> None:
        self._settings = settings
        self._llm = llm
        self._capacity = capacity
        self._calls = calls
        self._tell = tell
        self._store = store or ModelStore(settings.models_dir)
        self._build = build
        self._answers = settings.llm_model

    async def take_known(self) -> None:
        """Take the wisest that is here, that was measured at an earlier start, and that answers in time."""
        choice = await asyncio.to_thread(choose_among, self._settings, self._store)
        known = await asyncio.to_thread(load_speeds, self._settings)
        for model_id in choice.better:
            if model_id in known.speeds and await asyncio.to_thread(is_here, self._store, model_id):
                model = self._store.manifest.get(model_id)
                other = await self._built(model)
                if other is not None:
                    await other.warm_up()
                    await self._put_in_place(model, other, known.speeds[model_id])
                    return

    async def run(self) -> str:
        """Fetch and take the wisest; returns the id of the model that answers afterwards."""
        await self._keep_quick()
        choice = await asyncio.to_thread(choose_among, self._settings, self._store)
        if choice.left:
            self._tell(f"Wiser language models that this machine does not afford: {'; '.join(choice.left)}")
        for model_id in choice.better:
            if model_id == self._answers:
                break
            model = self._store.manifest.get(model_id)
            if await self._fetched(model) and await self._taken(model):
                break
        return self._answers

    async def _keep_quick(self) -> None:
        """Keep what the others are judged by: the speed of the quick model, and what else a caller waits for."""
        speeds, name = self._capacity.speeds, self._settings.llm_model
        if speeds is None:
            return
        known = await asyncio.to_thread(load_speeds, self._settings)
        if speeds.llm is not None:
            known = known.with_speed(name, speeds.llm)
        await asyncio.to_thread(keep_speeds, self._settings, replace(known, others_s=others_s(speeds)))

    async def _fetched(self, model: Model) -> bool:
        if await asyncio.to_thread(is_here, self._store, model.id):
            return True
        self._tell(
            f"This machine affords a wiser language model: {model.title}. It is being fetched ({model.size / 1e6:,.0f} "
            "MB) while calls are answered; `morgan models use` chooses another one"
        )
        try:
            await _in_thread(lambda: self._store.ensure([model.id]))
        except ModelError as error:
            self._tell(f"{model.id} could not be fetched: {error}")
            return False
        return True

    async def _taken(self, model: Model) -> bool:
        """Load it, measure it, and let it answer where it is quick enough."""
        await self._quiet()
        other = await self._built(model)
        if other is None:
            return False
        try:
            speed, problem = await self._judged(model, other)
        except BaseException:
            await other.close()
            raise
        if problem:
            await other.close()
            self._tell(f"{model.id}: {problem}; {self._llm.model} stays")
            return False
        await self._put_in_place(model, other, speed)
        return True

    async def _built(self, model: Model) -> LanguageModel | None:
        settings = self._settings.model_copy(update={"llm_model": model.id})
        try:
            return await asyncio.to_thread(self._build, settings)
        except (ModelError, EngineError) as error:
            self._tell(f"{model.id} cannot be used: {error}")
            return None

    async def _judged(self, model: Model, other: LanguageModel) -> tuple[LanguageModelSpeed, str]:
        """Its speed, which is kept, and why it does not answer in time; empty where it does."""
        speed = await self._measured(other)
        known = await asyncio.to_thread(load_speeds, self._settings)
        if too_slow(speed, known, self._settings.llm_model):
            await asyncio.sleep(SETTLE_S)
            speed = speed.best_with(await self._measured(other))
        await asyncio.to_thread(keep_speeds, self._settings, known.with_speed(model.id, speed))
        return speed, too_slow(speed, known, self._settings.llm_model)

    async def _measured(self, other: LanguageModel) -> LanguageModelSpeed:
        """Its speed with no call beside it."""
        while True:
            await self._quiet()
            await other.warm_up()
            speed = await measure_language_model(other)
            if not self._calls():
                return speed

    async def _put_in_place(self, model: Model, other: LanguageModel, speed: LanguageModelSpeed) -> None:
        await other.prefill(shared_beginning(self._settings.instructions), Ticket())
        quick = self._capacity.speeds
        many = beside = calls_in_time(quick, CORES.count)
        if quick is not None:
            self._capacity.alone = quick.with_llm(speed)
            beside = calls_in_time(self._capacity.alone, CORES.count)
        self._answers = model.id
        told = f"{model.title} answers from now on ({1 / speed.token_s:.0f} tokens/s on one thread)"
        if beside >= many:
            self._llm.replace(other)
            self._tell(told)
            return
        self._llm.replace(other, lambda: self._calls() > beside)
        at_once = "is one call" if beside == 1 else f"are {beside} calls"
        self._tell(f"{told} while there {at_once} at most, {self._settings.llm_model} while there are more")

    async def _quiet(self) -> None:
        while self._calls():  # noqa: ASYNC110 - calls begin and end in many places, and nobody waits for this
            await asyncio.sleep(QUIET_EVERY_S)


async def _in_thread(work: Callable[[], None]) -> None:
    """Run something that may take minutes in a thread that no end of the process waits for."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def settle(error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def run() -> None:
        error: BaseException | None = None
        with contextlib.suppress(AttributeError, OSError):
            # Unpacking and hashing a gigabyte takes seconds of a core; pip is started from here, too.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        try:
            work()
        except BaseException as problem:
            error = problem
        try:
            loop.call_soon_threadsafe(settle, error)
        except RuntimeError:
            log.info("nobody waits for a fetch any more")

    threading.Thread(target=run, name="morgan-fetch", daemon=True).start()
    await done
