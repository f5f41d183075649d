"""A simulated call over a network that stalls."""

from dataclasses import dataclass, field

from pipeline.call.inputs import Input, VoiceHeard
from pipeline.call.state import Phase
from tests.pipeline.call.simulation import Simulation


@dataclass
class StallingCall(Simulation):
    """Windows of a stall (from, to, in seconds of the call) come together at its end, dated as if they came in time.

    Attributes:
        stalls: held back,
        swallowed: or lost, and told as missing at their end.
    """

    stalls: list[tuple[float, float]] = field(default_factory=list)
    swallowed: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._held: list[VoiceHeard] = []

    def post(self, message: Input) -> None:
        """As before; and the reply's sound is held in the phases in which it waits for the user, and in no other."""
        super().post(message)
        floor = self.machine._floor
        assert floor.playback.paused is (floor.call.phase in (Phase.PAUSED, Phase.WEIGHING))

    def hear(self, end: int) -> list[VoiceHeard]:
        windows = super().hear(end)
        second = self.now - self.began
        if any(start < second <= until for start, until in self.swallowed):
            windows = [window._replace(probability=0.0, levels_db=(-100.0,) * 4, missing=True) for window in windows]
        self._held += windows
        if any(start < second < until for start, until in [*self.stalls, *self.swallowed]):
            return []
        held, self._held = self._held, []
        return held
