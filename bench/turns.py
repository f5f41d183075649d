"""Taking turns on real speech: which pauses of a speaker are taken for the end of their turn, and after how long.

    morgan bench turns                      # jfk.flac and lecture.wav, in virtual time
    morgan bench turns talk.wav --no-curve
    morgan bench turns --url http://localhost:8000

Voice activity, the turn model and speech to text are the real ones, and so are the policy and the call machine, with
the settings of the server; only the clock is virtual, and the engines are as slow as they were measured
(`server.testing.recorded_call.MEASURED`).
With --url the recordings are spoken into real calls instead, and the turns that came out are told.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.pauses import Kind, Outcome, Pause, count_commits, find_pauses, labels_of, one_wait, outcomes
from bench.spoken_turns import SpokenTurns, speak
from pipeline.call.options import CallOptions
from pipeline.call.turn_taking.config import TurnTakingConfig
from pipeline.engines.protocols import EngineError
from pipeline.engines.stt.faster_whisper import FasterWhisper
from pipeline.engines.turn.smart_turn import SmartTurn
from pipeline.engines.vad.silero import SileroVad
from pipeline.models import ModelError, ModelStore
from server.cli.call import CallError
from server.client.caller import CallFailedError
from server.settings import Settings, SettingsError, load_settings
from server.testing.recorded_call import MEASURED, RecordedCall, Recording, RecordingError, read_recording

RECORDINGS = ("jfk.flac", "lecture.wav")
DELAYS_MS = (200, 300, 400, 500, 700, 1000, 1500, 2000, 2500)
REPLY = "Could you tell me more about that, please?"
KINDS: tuple[Kind, ...] = ("inside", "finished", "unlabelled")

console = Console(soft_wrap=True, highlight=False)


@dataclass(frozen=True, slots=True)
class Ears:
    """The models that a call listens with."""

    vad: SileroVad
    turn: SmartTurn
    stt: FasterWhisper


@contextmanager
def loaded_ears(settings: Settings) -> Iterator[Ears]:
    """The models that the settings name, loaded.

    Raises:
        ModelError, EngineError: one is missing or broken.
    """
    store = ModelStore(settings.models_dir)
    ears = Ears(
        SileroVad(store.path(settings.vad_model)),
        SmartTurn(store.path(settings.turn_model)),
        FasterWhisper(store.path(settings.stt_model)),
    )

    async def close() -> None:
        await ears.turn.close()
        await ears.stt.close()

    try:
        yield ears
    finally:
        asyncio.run(close())


def options_of(settings: Settings, config: TurnTakingConfig | None = None) -> CallOptions:
    """The options of a call on a server with these settings."""
    return CallOptions(
        language=settings.language,
        expected_language=settings.expected_language,
        interim=settings.interim_transcripts,
        speculate=settings.speculate,
        turn_taking=config or settings.turn_taking,
    )


def play(recording: Recording, options: CallOptions) -> RecordedCall:
    """A call in which the recording is spoken, and every reply is the same short one."""
    return RecordedCall(recording, options=options, delays=MEASURED, reply=REPLY).play()


def at_least(config: TurnTakingConfig, delay_s: float) -> TurnTakingConfig:
    """The policy with no wait shorter than this."""
    return replace(
        config,
        complete_wait_s=delay_s,
        likely_wait_s=max(config.likely_wait_s, delay_s),
        unsure_wait_s=max(config.unsure_wait_s, delay_s),
        incomplete_wait_s=max(config.incomplete_wait_s, delay_s),
        unfinished_wait_s=max(config.unfinished_wait_s, delay_s),
        group_wait_s=max(config.group_wait_s, delay_s),
    )


# Telling -------------------------------------------------------------------------------------------------------------


def did(outcome: Outcome) -> str:
    """What turn-taking did about a pause, in words."""
    if outcome.committed_s is None:
        return "waited"
    told = f"committed after {outcome.committed_s * 1000:.0f} ms"
    told += ", a reply sounded" if outcome.sounded else ", nothing sounded"
    return told + (", taken up again" if outcome.healed else ", a turn of its own")


def show_pauses(results: Sequence[Outcome]) -> None:
    """Every pause in a line."""
    table = Table("at s", "ms", "kind", "after", "turn model", "Morgan", box=None, pad_edge=False)
    for result in results:
        pause = result.pause
        scores = " ".join(f"{score:.2f}" for score in result.scores)
        table.add_row(
            f"{pause.start:.2f}", f"{pause.length_s * 1000:.0f}", pause.kind, pause.after, scores, did(result)
        )
    console.print(table)


def totals(results: Sequence[Outcome]) -> dict[Kind, dict[str, int]]:
    """Pauses and commits by kind, those that voice activity alone shows apart."""
    found: dict[Kind, dict[str, int]] = {}
    for kind in KINDS:
        mine = [result for result in results if result.pause.kind == kind]
        taken = [result for result in mine if result.committed_s is not None]
        if mine:
            found[kind] = {
                "pauses": len(mine),
                "taken_for_the_end": len(taken),
                "of_these_taken_up_again": sum(result.healed for result in taken),
                "of_these_without_a_sound": sum(not result.sounded for result in taken),
                "pauses_by_voice_activity": sum(not result.pause.level for result in mine),
                "taken_by_voice_activity": sum(not result.pause.level for result in taken),
            }
    return found


def show_curve(recording: Recording, pauses: Sequence[Pause], settings: Settings) -> list[dict[str, object]]:
    """Pauses taken for the end of the turn, by the wait before a commit."""
    kinds = [kind for kind in KINDS if any(pause.kind == kind for pause in pauses)]
    columns = (f"{who}: {kind}" for who in ("silence alone", "Morgan") for kind in kinds)
    table = Table("wait", *columns, title="Pauses taken for the end of the turn", title_justify="left", box=None)
    points: list[dict[str, object]] = []
    for delay in (None, *DELAYS_MS):
        counts = []
        for policy in (one_wait, at_least):
            base = settings.turn_taking
            config = base if delay is None else policy(base, delay / 1000)
            # Interim transcripts decide nothing here and cost the most.
            options = replace(options_of(settings, config), interim=False)
            counts.append(count_commits(outcomes(play(recording, options), pauses)))
        name = f"{delay} ms" if delay else "as set"
        alone = ["" if delay is None else str(counts[0][kind]) for kind in kinds]
        table.add_row(name, *alone, *(str(counts[1][kind]) for kind in kinds))
        points.append({"wait_ms": delay, "silence_alone": counts[0] if delay else None, "morgan": counts[1]})
    console.print(table)
    return points


# Running -------------------------------------------------------------------------------------------------------------


def in_virtual_time(paths: Sequence[Path], settings: Settings, *, curve: bool) -> list[dict[str, object]]:
    """Play every recording to the machine; tells as it goes, and returns the figures."""
    reports = []
    with loaded_ears(settings) as ears:
        for path in paths:
            with Recording(read_recording(path), ears.vad, ears.turn, ears.stt) as recording:
                pauses = find_pauses(recording, settings.turn_taking, labels_of(path.name))
                call = play(recording, options_of(settings))
                results = outcomes(call, pauses)
                turns = [entry.text for entry in call.context.entries if entry.role == "user"]
                console.print(f"\n[bold]{path.name}[/bold]: {len(turns)} turn(s)")
                show_pauses(results)
                counted = totals(results)
                for kind, numbers in counted.items():
                    parts = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in numbers.items())
                    console.print(f"{kind}: {parts}")
                report: dict[str, object] = {"recording": path.name, "turns": turns, "pauses": counted}
                if curve:
                    report["curve"] = show_curve(recording, pauses, settings)
                reports.append(report)
    return reports


async def in_real_calls(paths: Sequence[Path], url: str) -> list[dict[str, object]]:
    """Speak every recording into a call of its own."""
    reports: list[dict[str, object]] = []
    for path in paths:
        spoken: SpokenTurns = await speak(path, url)
        console.print(f"\n[bold]{path.name}[/bold]: {len(spoken.turns)} turn(s), {spoken.commits} commit(s)")
        for text in spoken.turns:
            console.print(f"  {text}")
        reports.append({"recording": path.name, "turns": spoken.turns, "commits": spoken.commits})
    return reports


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="*", type=Path, help="audio files; those in --audio when none is named")
    default = os.environ.get("MORGAN_SHARED_AUDIO") or Path(__file__).resolve().parents[2] / "shared" / "audio"
    parser.add_argument("--audio", type=Path, default=Path(default), help="folder with jfk.flac and lecture.wav")
    parser.add_argument("--url", help="speak into real calls of this server")
    parser.add_argument("--no-curve", action="store_true", help="only the waits as they are set")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    options = parser.parse_args()
    paths = options.recordings or [options.audio / name for name in RECORDINGS]
    if options.json:
        console.stderr = True
    try:
        if options.url:
            reports = asyncio.run(in_real_calls(paths, options.url.rstrip("/")))
        else:
            reports = in_virtual_time(paths, load_settings(), curve=not options.no_curve)
    except (RecordingError, CallError, CallFailedError, ModelError, EngineError, SettingsError) as error:
        sys.exit(str(error))
    if options.json:
        print(json.dumps(reports))


if __name__ == "__main__":
    main()
