"""Measures the engines again while nobody calls: a first look may fall into a busy minute of a machine."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict, replace

import structlog

from pipeline.engines.llm.replaceable import ReplaceableLanguageModel
from pipeline.engines.protocols import AbsentEngine, Engines
from pipeline.engines.speeds import EngineSpeeds, measure_speeds
from server.calibration.profile import Profile, save_profile
from server.calls.capacity import Capacity
from server.settings import Settings

PAUSES_S = (3.0, 10.0, 20.0)
"""Before each measurement. One takes 2 to 5 s of a core."""

LOOK_EVERY_S = 0.1
"""Between two looks whether there is a call."""

log = structlog.get_logger(__name__)


class QuietMeasurement:
    """Of one server, a few times after its start; how many calls may be open goes by the best of all figures.

    On one processor the speed of the same engine was seen to differ by half within minutes, and by ten times where a
    build ran beside the first start; it decided for ever how many calls a server takes, and which language model.

    Args:
        settings: the effective ones.
        engines: that serve calls.
        capacity: told the figures.
        profile: of this machine, kept with better figures.
        calls: how many there are.
    """

    def __init__(
        self, settings: Settings, engines: Engines, capacity: Capacity, profile: Profile, calls: Callable[[], int]
    ) -> None:
        self._settings = settings
        self._engines = engines
        self._capacity = capacity
        self._profile = profile
        self._calls = calls

    async def run(self) -> None:
        """Measure, keep and tell; figures that a call fell into count for nothing."""
        known = before = self._capacity.speeds or self._profile.speeds
        for pause_s in PAUSES_S:
            await asyncio.sleep(pause_s)
            await self._quiet()
            try:
                speeds = await self._measured()
            except Exception as error:  # whatever an engine raises: what was known counts on
                log.warning("engines not measured again", problem=str(error))
                continue
            if speeds is not None:
                known = self._capacity.speeds = speeds if known is None else known.best_with(speeds)
        if known is None or known == before:
            return
        rounded = {name: round(value, 4) for name, value in asdict(known).items()}
        log.info("engines measured again", calls=self._capacity.calls(0), **rounded)
        await asyncio.to_thread(save_profile, self._settings, replace(self._profile, speeds=known))

    async def _measured(self) -> EngineSpeeds | None:
        """The speeds; None as soon as there is a call, which is not to wait for this."""
        measuring = asyncio.create_task(measure_speeds(self._subjects()))
        try:
            while not measuring.done():
                if self._calls():
                    return None
                await asyncio.wait((measuring,), timeout=LOOK_EVERY_S)
            return await measuring
        finally:
            measuring.cancel()
            await asyncio.wait((measuring,))

    def _subjects(self) -> Engines:
        """The engines with the language model that the figures are about, or without it where it is gone."""
        llm = self._engines.llm
        if not isinstance(llm, ReplaceableLanguageModel):
            return self._engines
        return replace(self._engines, llm=llm.quick or AbsentEngine("llm"))

    async def _quiet(self) -> None:
        while self._calls():  # noqa: ASYNC110 - calls begin and end in many places, and nobody waits for this
            await asyncio.sleep(LOOK_EVERY_S)
