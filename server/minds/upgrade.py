"""Fetches the wisest language model that this machine affords while calls are answered, and puts it in place."""

import asyncio
import contextlib
import os
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

import structlog

from pipeline.call.context import shared_beginning
from pipeline.engines.llm.replaceable import ReplaceableLanguageModel
from pipeline.engines.llm.speed import LanguageModelSpeed, measure_language_model
from pipeline.engines.protocols import LanguageModel
from pipeline.engines.speeds import Unmeasured
from pipeline.models import Model, ModelError, ModelStore
from pipeline.scheduling.lanes import Ticket
from server.calls.capacity import Capacity, others_s
from server.calls.quiet import CallCameError, Quiet
from server.engines.factory import build_llm
from server.minds.choice import choose_among, is_here, too_slow
from server.minds.speed_book import keep_speed, keep_speeds, load_speeds
from server.settings import Settings

SETTLE_S = 20.0
"""Between two measurements of what seems too slow: perhaps the machine was busy with something else."""

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
        capacity: told how fast the new one is.
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
        self._quiet = Quiet(calls)
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
                if await self._used(model, partial(self._warmed, speed=known.speeds[model_id])):
                    return

    async def run(self) -> str:
        """Fetch and take the wisest; returns the id of the model that answers afterwards."""
        await self._keep_quick()
        choice = await asyncio.to_thread(choose_among, self._settings, self._store, self._answers)
        if choice.left:
            self._tell(f"Wiser language models that this machine does not afford: {'; '.join(choice.left)}")
        for model_id in choice.better:
            if model_id == self._answers:
                break
            model = self._store.manifest.get(model_id)
            if not await self._fetched(model):
                continue
            await self._quiet.begins()
            if await self._used(model, partial(self._judged, model_id=model_id)):
                break
        return self._answers

    async def _keep_quick(self) -> None:
        """Keep what the others are judged by: the speed of the quick model, and what else a caller waits for."""
        speeds, name = self._capacity.speeds, self._settings.llm_model
        if speeds is None:
            return
        known = await asyncio.to_thread(load_speeds, self._settings)
        if not isinstance(speeds.llm, Unmeasured):
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
        except (ModelError, OSError) as error:
            self._tell(f"{model.id} could not be fetched: {error}")
            return False
        return True

    async def _used(self, model: Model, judge: Callable[[LanguageModel], Awaitable[LanguageModelSpeed | str]]) -> bool:
        """Load a model and let it answer, where that is worth it; whatever goes wrong, it is told, and the rest stays.

        Args:
            model: which one.
            judge: tells its speed, or why it is not to answer.
        """
        other: LanguageModel | None = None
        try:
            other = await asyncio.to_thread(self._build, self._settings.model_copy(update={"llm_model": model.id}))
            judged = await judge(other)
            if isinstance(judged, LanguageModelSpeed):
                await other.prefill(shared_beginning(self._settings.instructions), Ticket())
                self._put_in_place(model, other, judged)
                other = None
                return True
            self._tell(f"{model.id}: {judged}; {self._llm.model} stays")
        except Exception as error:  # of any kind: the next one may do
            log.warning("language model not taken", model=model.id, exc_info=error)
            self._tell(f"{model.id} cannot be used: {error}")
        finally:
            if other is not None:
                await other.close()
        return False

    async def _warmed(self, other: LanguageModel, speed: LanguageModelSpeed) -> LanguageModelSpeed:
        await other.warm_up()
        return speed

    async def _judged(self, other: LanguageModel, model_id: str) -> LanguageModelSpeed | str:
        """Its speed, which is kept, or why it does not answer in time."""
        speed = await self._measured(other)
        if speed is not None and await self._problem(speed):
            await asyncio.sleep(SETTLE_S)
            again = await self._measured(other)
            speed = speed if again is None else speed.best_with(again)
        if speed is None:
            return "nothing that it says tells its speed"
        await asyncio.to_thread(keep_speed, self._settings, model_id, speed)
        return await self._problem(speed) or speed

    async def _problem(self, speed: LanguageModelSpeed) -> str:
        known = await asyncio.to_thread(load_speeds, self._settings)
        return too_slow(speed, known, self._settings.llm_model)

    async def _measured(self, other: LanguageModel) -> LanguageModelSpeed | None:
        """Its speed with no call beside it."""
        while True:
            await self._quiet.begins()
            with contextlib.suppress(CallCameError):
                return await self._quiet.while_it_lasts(_warm_speed(other))

    def _put_in_place(self, model: Model, other: LanguageModel, speed: LanguageModelSpeed) -> None:
        capacity, crowds = self._capacity, self._settings.llm_model
        if capacity.wise_only:
            # The quick one is gone, and the wise one before is the quicker one now.
            capacity.speeds, capacity.wise_only, crowds = capacity.alone, False, self._answers
        capacity.wise, self._answers = speed, model.id
        told = f"{model.title} answers from now on ({1 / speed.token_s:.0f} tokens/s on one thread)"
        if capacity.most_wise >= capacity.most:
            capacity.wise_only = True
            self._llm.replace(other)
            self._tell(told)
            return
        # Asked anew each time: the engines may turn out to be quicker than they seemed.
        self._llm.replace(other, lambda: self._calls() > capacity.most_wise)
        beside = capacity.most_wise
        at_once = "is one call" if beside == 1 else f"are {beside} calls"
        self._tell(f"{told} while there {at_once} at most, {crowds} while there are more")


async def _warm_speed(llm: LanguageModel) -> LanguageModelSpeed | None:
    await llm.warm_up()
    return await measure_language_model(llm)


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
