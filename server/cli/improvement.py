"""What goes on behind the start of a server: its engines are measured again, and a wiser language model is fetched."""

from collections.abc import Callable

from pipeline.engines.llm.replaceable import ReplaceableLanguageModel
from pipeline.engines.protocols import Engines
from server.calibration.profile import Profile
from server.calibration.quiet_measurement import QuietMeasurement
from server.calls.capacity import Capacity
from server.minds.upgrade import Upgrade
from server.observability.background import one_after_another
from server.settings import Settings


async def improve(
    settings: Settings,
    engines: Engines,
    capacity: Capacity,
    profile: Profile,
    load: Callable[[], int],
    tell: Callable[[str], None],
) -> None:
    """Take the wise model that an earlier start measured, measure this machine again, and fetch a wiser model.

    What fails is logged, and the rest is done all the same.

    Args:
        settings: the effective ones.
        engines: that serve; a language model that can be replaced is, where this machine affords a wiser one.
        capacity: told what is found out.
        profile: of this machine, kept with better figures.
        load: calls, or requests of a service, that are in hand.
        tell: says to people what happens.
    """
    measurement = QuietMeasurement(settings, engines, capacity, profile, load)
    if not isinstance(engines.llm, ReplaceableLanguageModel):
        await one_after_another({"measurement in quiet times": measurement.run})
        return
    upgrade = Upgrade(settings, engines.llm, capacity, load, tell)
    await one_after_another(
        {
            "language model of an earlier start": upgrade.take_known,
            "measurement in quiet times": measurement.run,
            "wiser language model": upgrade.run,
        }
    )
