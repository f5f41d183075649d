"""A call that was recorded as its inputs comes out the same when it is replayed; what changed since is found."""

import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipeline.call.effects import Emit, WriteAudio
from pipeline.call.events import CallEnded, ReplyDone, ReplyTruncated, ToolReturned, TranscriptCompleted
from pipeline.call.inputs import HangUp, TurnScored, UserTyped
from pipeline.call.options import CallOptions
from pipeline.call.replay.codec import ReplayError, effect_json
from pipeline.call.replay.replay import Replayed, replay
from pipeline.call.turn_taking.config import TurnTakingConfig
from pipeline.engines.protocols import ToolCall, Voice
from pipeline.tools.declaration import ToolDeclaration, ToolDescription
from pipeline.tools.toolbox import Toolbox
from server.cli.main import app
from tests.pipeline.call.recorded import RecordedSimulation
from tests.pipeline.call.simulation import Delays, Say
from tests.thorough import share

QUESTION = Say(1.0, 2.8, "What is the weather in Paris?")
STOP = Say(6.0, 7.2, "No, stop, tell me about Rome.")
WEATHER = ToolDeclaration(name="weather", description="Tells the weather", function="builtins:dict", timeout_s=3.0)


def with_everything() -> RecordedSimulation:
    """A call that uses all that a call can begin with."""
    options = CallOptions(
        user_id="somebody",
        conversation_id="conversation",
        greeting="Hello there.",
        turn_taking=TurnTakingConfig(idle_prompt_s=3.0),
        tools=Toolbox([WEATHER], rounds=2),
        tool_filler="One moment.",
    )
    return RecordedSimulation(
        [Say(3.0, 4.8, "Wie ist das Wetter in Paris?", language="de"), Say(10.0, 11.2, "Stop, what about Rome?")],
        options=options,
        asks=(("Let me see.", ToolCall("call_1", "weather", "{}")),),
        memories=("I live in Rome.",),
        voices=(Voice("joe", "Joe", "en", "piper"), Voice("eva", "Eva", "de", "piper")),
        delays=Delays(tool=2.0),
    ).run(24)


def check_same(call: RecordedSimulation, path: Path) -> Replayed:
    """The replay tells the same events, at the same times, and wants the same."""
    again = replay(call.write(path))
    assert again.end == "complete"
    assert not again.differences
    assert [event for _, event in again.events] == [event for _, event in call.events]
    began = call.events[0][0]
    assert [at for at, _ in again.events] == pytest.approx([at - began for at, _ in call.events], abs=1e-6)
    assert again.counts == dict(call.machine.counts)
    return again


def test_a_call_comes_out_the_same(tmp_path: Path) -> None:
    call = RecordedSimulation([QUESTION, STOP]).run(18)
    call.post(HangUp("hangup"))
    again = check_same(call, tmp_path / "call.jsonl")
    assert [event.text for event in again.all(TranscriptCompleted)] == [QUESTION.text, STOP.text]
    assert len(again.all(ReplyTruncated)) == 1
    assert again.all(CallEnded) == [CallEnded("hangup")]
    assert again.header["version"] == "1.2.3"


def test_a_call_with_tools_memories_voices_and_a_policy_of_its_own_comes_out_the_same(tmp_path: Path) -> None:
    again = check_same(with_everything(), tmp_path / "call.jsonl")
    assert again.all(ToolReturned)
    assert {event.language for event in again.all(TranscriptCompleted)} == {"de", "en"}


def test_another_process_finds_the_same(tmp_path: Path, repository: Path) -> None:
    """Nothing hangs on the order of a set or on what the process did before."""
    path = with_everything().write(tmp_path / "call.jsonl")
    done = subprocess.run(
        [sys.executable, "-m", "server.cli.main", "replay", str(path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": "2"},
        cwd=repository,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert done.stdout.endswith("The same as when it was recorded.\n")
    assert "TranscriptCompleted" in done.stdout
    assert "Tick" not in done.stdout


@pytest.mark.parametrize("seed", range(share(15)))
def test_random_calls_come_out_the_same(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    script, second = [], 0.5
    for _ in range(rng.randint(1, 4)):
        begin, length = second + rng.uniform(0.05, 3.0), rng.uniform(0.1, 2.5)
        text = rng.choice(["", "mhm", "stop", "what is the weather", "in Paris today?", "I think that"])
        script.append(Say(begin, begin + length, text, rng.choice([0.02, 0.6, 0.95])))
        second = begin + length
    delays = Delays(*(rng.choice([0.01, 0.1, 0.8]) for _ in range(3)), tts=rng.choice([0.01, 0.3]))
    stalls = [(at := rng.uniform(1, 8), at + rng.uniform(0.1, 3.0))] if rng.random() < 0.5 else []
    fail = frozenset(rng.sample(["stt", "turn", "llm", "tts"], rng.choice([0, 0, 1])))
    call = RecordedSimulation(script, stalls=stalls, delays=delays, fail=fail).run(rng.uniform(2, 8))
    call.post(UserTyped("What about Rome?"))
    check_same(call.run(12), tmp_path / "call.jsonl")


def changed(path: Path, old: str, new: str) -> Path:
    """The recording with other words, as if the machine had wanted something else."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    return path


def run_command(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["replay", *map(str, arguments)])


def test_what_comes_out_differently_is_found_where_it_begins(tmp_path: Path) -> None:
    path = RecordedSimulation([QUESTION]).run(12).write(tmp_path / "call.jsonl")
    changed(path, '"is":"SpeechStopped"', '"is":"SpeechWithered"')
    different = replay(path).differences
    assert len(different) == 1
    assert QUESTION.end < different[0].second < QUESTION.end + 1
    done = run_command(path, "--quiet")
    assert done.exit_code == 1
    assert f"line {different[0].line}," in done.stdout
    assert "SpeechWithered" in done.stdout


def test_another_input_leads_to_other_effects(tmp_path: Path) -> None:
    path = RecordedSimulation([QUESTION]).run(12).write(tmp_path / "call.jsonl")
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(line for line in lines if '"is":"Transcribed"' not in line), encoding="utf-8")
    again = replay(path)
    assert again.differences
    assert not again.all(TranscriptCompleted)


def test_a_recording_that_was_broken_off_is_replayed_as_far_as_it_goes(tmp_path: Path) -> None:
    path = RecordedSimulation([QUESTION]).run(12).write(tmp_path / "call.jsonl")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    again = replay(path)
    assert (again.end, again.differences) == ("broken off", [])
    assert again.events
    assert "not complete" in run_command(path, "--quiet").stdout


def test_a_recording_stops_where_it_gets_too_long(tmp_path: Path) -> None:
    call = RecordedSimulation([QUESTION], max_bytes=100_000).run(12)
    path = call.write(tmp_path / "call.jsonl")
    assert path.stat().st_size <= 100_000 + 100
    again = replay(path)
    assert (again.end, again.differences) == ("too long", [])


def test_a_recording_stops_where_the_disk_is_too_slow(tmp_path: Path) -> None:
    again = replay(RecordedSimulation([QUESTION], slow_after=200).run(12).write(tmp_path / "call.jsonl"))
    assert (again.end, again.differences) == ("too slow", [])


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "line 1"),
        ("hello\n", "line 1"),
        ("{}\n", "no recording"),
        ('{"format": "morgan-call-inputs", "format_version": 99}\n', "99"),
        ('{"format": "morgan-call-inputs", "format_version": 1}\n', "began"),
    ],
)
def test_what_is_no_recording_is_refused_with_words(line: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "call.jsonl"
    path.write_text(line)
    with pytest.raises(ReplayError, match=says):
        replay(path)
    done = run_command(path)
    assert (done.exit_code, done.stdout) == (2, "")
    assert says in done.stderr


def test_an_option_that_this_version_does_not_know_is_named(tmp_path: Path) -> None:
    path = RecordedSimulation([]).run(1).write(tmp_path / "call.jsonl")
    with pytest.raises(ReplayError, match="duck_gainz"):
        replay(changed(path, '"duck_gain"', '"duck_gainz"'))


def test_there_is_no_sound_of_the_user_and_no_way_to_run_a_tool_in_it(tmp_path: Path) -> None:
    header = json.loads(with_everything().lines[0])
    (told,) = header["options"]["tools"]["declarations"]
    assert told.items() >= {"name": "weather", "description": "Tells the weather", "timeout_s": 3.0}.items()
    assert told.keys() == ToolDescription.model_fields.keys()
    kinds = {json.loads(line)["input"]["is"] for line in with_everything().lines[1:]}
    assert "AudioHeard" not in kinds
    assert {"VoiceHeard", "Transcribed", "ReplyText", "PieceSpoken", "ToolRan", "Remembered"} <= kinds


def test_the_sound_that_is_written_is_part_of_what_is_compared() -> None:
    written = [effect for effect in RecordedSimulation([QUESTION]).run(8).work if isinstance(effect, WriteAudio)]
    louder = replace(written[0], pcm=written[0].pcm + 1)
    assert effect_json(written[0]) == effect_json(replace(written[0], pcm=written[0].pcm.copy()))
    assert effect_json(written[0]) != effect_json(louder)


def test_every_reply_is_a_recorded_effect() -> None:
    call = RecordedSimulation([QUESTION]).run(12)
    effects = [effect for line in call.lines[1:] for effect in json.loads(line).get("effects", [])]
    assert len(effects) == len(call.work)
    told = [effect["event"]["is"] for effect in effects if effect["is"] == "Emit"]
    assert told == [type(effect.event).__name__ for effect in call.work if isinstance(effect, Emit)]
    assert told.count("ReplyDone") == len(call.all(ReplyDone)) == 1


def test_an_input_that_cannot_be_written_ends_the_recording_and_not_the_call(tmp_path: Path) -> None:
    call = RecordedSimulation([QUESTION]).run(2)
    call.post(TurnScored(99, object()))  # type: ignore[arg-type]
    call.run(10)
    assert call.all(ReplyDone)
    again = replay(call.write(tmp_path / "call.jsonl"))
    assert again.end == "failed"
    assert not again.differences
