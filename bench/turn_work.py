"""What hearing a turn costs: transcriptions and questions to the turn model, over recordings, in virtual time.

    python -m bench.turn_work ../shared/audio/dev            # as on a processor without VNNI
    python -m bench.turn_work ../shared/audio/dev --fast     # as on one with it
    python -m bench.turn_work ../shared/audio/dev --fast --ahead     # as with four cores or more

The models' answers are real, what they take is set, and transcriptions go through one lane, as on two cores: one that
was begun in vain keeps the one that an answer waits for waiting. --ahead has two lanes, and looks ahead. Printed are,
over all recordings, the transcriptions that were begun and the questions to the turn model, the seconds of a core that
they took, turns, and the time from the last sound of each turn to its answer.
"""

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.turns import REPLY, loaded_ears, options_of
from bench.voice_to_voice import percentile
from pipeline.call.effects import AskTurnModel, Cancel, Effect, Transcribe
from pipeline.call.events import TranscriptCompleted, TurnCommitted, TurnLatency
from pipeline.call.inputs import Input, Transcribed
from pipeline.call.options import CallOptions
from server.settings import load_settings
from server.testing.recorded_call import RecordedCall, Recording, RecordingError, read_recording
from server.testing.virtual_call import Delays, VirtualCall

SLOW = Delays(stt=0.45, stt_per_s=0.02, turn=0.16, llm_first=0.2, llm_token=0.02, tts=0.12)
"""Of whisper-base, Smart Turn, SmolLM2 and Piper on two cores of AMD Zen 3 (AVX2, no VNNI), rounded."""

FAST = Delays(stt=0.07, stt_per_s=0.033, turn=0.05, llm_first=0.06, llm_token=0.008, tts=0.05)
"""The same on a processor with VNNI."""


@dataclass(kw_only=True)
class FewLanes(VirtualCall):
    """A call whose transcriptions run in lanes, the most urgent first.

    Attributes:
        lanes: how many run at a time; those that only show words early run alone.
        begun: the transcriptions that a core worked on.
    """

    lanes: int = 1
    begun: list[Transcribe] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._waiting: list[Transcribe] = []
        self._running: set[int] = set()
        self._gone: set[int] = set()

    def _carry_out(self, effect: Effect) -> None:
        if not isinstance(effect, Transcribe):
            super()._carry_out(effect)
            if isinstance(effect, Cancel):
                self._gone |= {work.job for work in self.begun if work.group == effect.group}
                self._waiting = [work for work in self._waiting if work.group != effect.group]
            return
        self.work.append(effect)
        if effect.optional and self._running:
            self._at(0.0, Transcribed(effect.job, None), effect.group)
            return
        self._waiting.append(effect)
        self._start()

    def _start(self) -> None:
        self._waiting = [work for work in self._waiting if not work.ticket.cancelled]
        while self._waiting and len(self._running) < self.lanes:
            work = min(self._waiting, key=lambda work: (work.ticket.urgency, work.ticket.deadline))
            self._waiting.remove(work)
            self._running.add(work.job)
            self.begun.append(work)
            self._at(self._stt_delay(work), Transcribed(work.job, self.transcript(work)), "lane")

    def post(self, message: Input) -> None:
        """Hand an input to the machine; a transcription that ends lets the next one begin."""
        running = isinstance(message, Transcribed) and message.job in self._running
        if isinstance(message, Transcribed):
            self._running.discard(message.job)
        if not (isinstance(message, Transcribed) and message.job in self._gone):
            super().post(message)
        if running:
            self._start()


@dataclass
class RecordedOnFewLanes(FewLanes, RecordedCall):
    """The same with a recording."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one recording.

    Attributes:
        name: its file.
        transcriptions: begun, optional: those of them that only show words early.
        optional: see above.
        asks: of the turn model.
        replies: that the language model was asked for.
        stt_s, turn_s: seconds of a core.
        speech_s: length of what was transcribed last of every turn, added up.
        turns: that were told.
        commits: times that the policy took a turn as over.
        gaps_s: from the last sound of a turn to the first of its answer.
        words: of all turns.
    """

    name: str
    transcriptions: int
    optional: int
    asks: int
    replies: int
    stt_s: float
    turn_s: float
    turns: int
    commits: int
    gaps_s: tuple[float, ...]
    words: str


def cost_of(name: str, recording: Recording, options: CallOptions, delays: Delays, *, ahead: bool = False) -> Cost:
    """Play a recording into a call and count."""
    # As in a call that has had some turns.
    options = replace(options, transcript_s=(delays.stt or 0.0) + 2 * delays.stt_per_s, look_ahead=ahead)
    lanes = 2 if ahead else 1
    call = RecordedOnFewLanes(recording, options=options, delays=delays, reply=REPLY, lanes=lanes).play()
    asks = sum(isinstance(work, AskTurnModel) for work in call.work)
    told = {event.item_id: event.text for event in call.all(TranscriptCompleted)}
    last = {event.item_id: event.voice_to_voice_ms / 1000 for event in call.all(TurnLatency)}
    return Cost(
        name,
        len(call.begun),
        sum(work.optional for work in call.begun),
        asks,
        len(call.asked),
        sum(call._stt_delay(work) or 0.0 for work in call.begun),
        asks * (delays.turn or 0.0),
        len(told),
        len(call.all(TurnCommitted)),
        tuple(last.values()),
        " | ".join(told.values()),
    )


def costs(paths: Sequence[Path], delays: Delays, *, ahead: bool = False) -> list[Cost]:
    """Every recording that a call can hold."""
    settings = load_settings()
    found = []
    with loaded_ears(settings) as ears:
        for path in paths:
            try:
                with Recording(read_recording(path), ears.vad, ears.turn, ears.stt) as recording:
                    found.append(cost_of(path.name, recording, options_of(settings), delays, ahead=ahead))
            except RecordingError:
                continue
    return found


def tell(found: Sequence[Cost], *, each: bool) -> None:
    """The figures."""
    if each:
        for cost in found:
            told = " ".join(f"{gap:.2f}" for gap in cost.gaps_s)
            print(
                f"{cost.name:40} stt {cost.transcriptions:2} ({cost.optional} interim)  turn model {cost.asks:2}  "
                f"turns {cost.turns} commits {cost.commits}  gaps {told}  {cost.words[:80]}"
            )
    turns = sum(cost.turns for cost in found) or 1
    gaps = [gap for cost in found for gap in cost.gaps_s]
    begun, asks = sum(cost.transcriptions for cost in found), sum(cost.asks for cost in found)
    stt_s, turn_s = sum(cost.stt_s for cost in found), sum(cost.turn_s for cost in found)
    print(f"recordings {len(found)}, turns {turns}, commits {sum(cost.commits for cost in found)}")
    print(f"a turn: transcriptions {begun / turns:.2f} ({sum(cost.optional for cost in found)} of {begun} interim), ")
    replies = sum(cost.replies for cost in found)
    print(f"        turn model asked {asks / turns:.2f} times, replies begun {replies / turns:.2f}")
    print(f"        core: transcriptions {stt_s / turns:.2f} s, turn model {turn_s / turns:.2f} s")
    if gaps:
        print(
            f"voice to voice: p50 {1000 * statistics.median(gaps):.0f} ms, mean {1000 * statistics.mean(gaps):.0f} ms, "
            f"p95 {1000 * percentile(gaps, 0.95):.0f} ms"
        )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="+", type=Path, help="audio files, and folders of them")
    parser.add_argument("--fast", action="store_true", help="engines as fast as on a processor with VNNI")
    parser.add_argument("--ahead", action="store_true", help="transcribe all the time, on two lanes")
    parser.add_argument("--each", action="store_true", help="a line for each recording, too")
    options = parser.parse_args()
    paths: list[Path] = []
    for path in options.recordings:
        paths += (
            sorted(each for each in path.iterdir() if each.suffix in (".flac", ".wav")) if path.is_dir() else [path]
        )
    tell(costs(paths, FAST if options.fast else SLOW, ahead=options.ahead), each=options.each)


if __name__ == "__main__":
    main()
