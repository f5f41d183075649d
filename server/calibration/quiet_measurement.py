"""Measures the engines again while nobody calls: a first look may fall into a busy minute of a machine."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import structlog

from pipeline.engines.llm.replaceable import ReplaceableLanguageModel
from pipeline.engines.protocols import AbsentEngine, Engines
from pipeline.engines.speeds import EngineSpeeds, measure_speeds
from server.calibration.profile import Profile, load_profile, save_profile
from server.calls.capacity import Capacity
from server.calls.quiet import CallCameError, Quiet
from server.settings import Settings

PAUSES_S = (3.0, 10.0, 20.0)
"""Before each measurement. One takes 2 to 5 s of a core."""

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
        self._quiet = Quiet(calls)

    async def run(self) -> None:
        """Measure, tell and keep, until it was done often enough; what a call comes into is done again behind it."""
        for pause_s in PAUSES_S:
            while not await self._measured_after(pause_s):
                pass

    async def _measured_after(self, pause_s: float) -> bool:
        """Whether the engines could be measured without a call beside it."""
        await asyncio.sleep(pause_s)
        await self._quiet.begins()
        try:
            speeds = await self._quiet.while_it_lasts(measure_speeds(self._subjects()))
        except CallCameError:
            return False
        before = self._capacity.speeds or self._profile.speeds
        known = self._capacity.speeds = speeds if before is None else before.best_with(speeds)
        if known != before:
            rounded = {name: round(value, 4) for name, value in known.figures()}
            log.info("engines are quicker than they seemed", calls=self._capacity.calls(0), **rounded)
            await asyncio.to_thread(self._keep, known)
        return True

    def _keep(self, speeds: EngineSpeeds) -> None:
        """Beside the rest of what is kept, which `morgan calibrate` may have measured anew meanwhile."""
        save_profile(self._settings, replace(load_profile(self._settings) or self._profile, speeds=speeds))

    def _subjects(self) -> Engines:
        """The engines with the language model that the figures are about, or without it where it is gone."""
        llm = self._engines.llm
        if not isinstance(llm, ReplaceableLanguageModel):
            return self._engines
        return replace(self._engines, llm=llm.quick or AbsentEngine("llm"))
