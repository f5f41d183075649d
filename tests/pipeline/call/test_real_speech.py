"""Real speech, real models and the real machine in virtual time: whose pause is the end of a turn."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.pauses import Outcome, find_pauses, labels_of, outcomes, text_of
from bench.turns import Ears, loaded_ears, options_of, play
from pipeline.call.events import SpeechStopped
from pipeline.text.normalise import normalise
from server.settings import Settings
from server.testing.recorded_call import RecordedCall, Recording, read_recording


@pytest.fixture(scope="module")
def settings(models_dir: Path) -> Settings:
    """What a server has by default; interim transcripts decide nothing here and cost the most."""
    return Settings(models_dir=models_dir, interim_transcripts=False)


@pytest.fixture(scope="module")
def ears(settings: Settings) -> Iterator[Ears]:
    """The models that a call listens with."""
    with loaded_ears(settings) as loaded:
        yield loaded


def heard(path: Path, ears: Ears) -> Recording:
    """A recording, ready to be played."""
    return Recording(read_recording(path), ears.vad, ears.turn, ears.stt)


def user_turns(call: RecordedCall) -> list[str]:
    """The words of the user's turns."""
    return [entry.text for entry in call.context.entries if entry.role == "user"]


@pytest.fixture(scope="module")
def lecture(shared_audio: Path, ears: Ears, settings: Settings) -> list[Outcome]:
    """What became of each pause of the lecture."""
    with heard(shared_audio / "lecture.wav", ears) as recording:
        pauses = find_pauses(recording, settings.turn_taking, labels_of("lecture.wav"))
        return outcomes(play(recording, options_of(settings)), pauses)


def test_every_pause_of_the_lecture_is_labelled(lecture: list[Outcome]) -> None:
    assert [result.pause for result in lecture if result.pause.kind == "unlabelled"] == []
    assert len(lecture) == len(labels_of("lecture.wav"))


@pytest.mark.parametrize("shown_by", ["voice activity", "level"])
def test_at_most_a_tenth_of_the_pauses_inside_a_sentence_is_taken_for_its_end(
    lecture: list[Outcome], shown_by: str
) -> None:
    inside = [result for result in lecture if result.pause.kind == "inside"]
    if shown_by == "voice activity":
        inside = [result for result in inside if not result.pause.level]
    taken = [result.pause.after for result in inside if result.committed_s is not None]
    assert len(taken) <= len(inside) / 10, taken


def test_a_long_pause_behind_a_finished_sentence_is_the_end(lecture: list[Outcome]) -> None:
    long = [result for result in lecture if result.pause.kind == "finished" and result.pause.length_s > 1]
    assert len(long) == 3
    assert all(result.committed_s is not None and result.committed_s < 1 for result in long)


def test_the_inaugural_address_is_one_turn_with_every_word(shared_audio: Path, ears: Ears, settings: Settings) -> None:
    with heard(shared_audio / "jfk.flac", ears) as recording:
        call = play(recording, options_of(settings))
    turns = user_turns(call)
    assert len(turns) == 1
    assert normalise(turns[0]) == normalise(text_of("jfk.flac"))
    assert len(call.all(SpeechStopped)) <= 2


@pytest.mark.parametrize("name", ["weather.wav", "hello.wav"])
def test_a_short_question_is_taken_at_once(shared_audio: Path, ears: Ears, settings: Settings, name: str) -> None:
    check_at_once(shared_audio / name, ears, settings)


@pytest.mark.parametrize("name", ["question.wav", "order.wav"])
def test_a_short_question_in_morgans_own_voice_is_taken_at_once(
    repository: Path, ears: Ears, settings: Settings, name: str
) -> None:
    check_at_once(repository / "tests" / "clips" / name, ears, settings)


def check_at_once(path: Path, ears: Ears, settings: Settings) -> None:
    """One turn, one commit, soon after the last sound."""
    with heard(path, ears) as recording:
        call = play(recording, options_of(settings))
    assert len(user_turns(call)) == 1
    assert len(call.all(SpeechStopped)) == 1
    turn = call.machine._listening.turn
    assert turn is not None
    assert turn.instants.committed is not None
    assert turn.instants.speech_ended is not None
    assert turn.instants.committed - turn.instants.speech_ended < 0.45


@pytest.mark.parametrize(
    ("clip", "letters"),
    [("spelled_kate", "ate"), ("spelled_morgan", "morga"), ("spelled_hx47q", "hx47q")],
)
def test_letters_that_go_on_over_the_reply_to_the_first_are_one_turn(
    clip: str, letters: str, shared_audio: Path, ears: Ears, settings: Settings
) -> None:
    """One by one they were heard as "hey", "yeah", "uh-huh" over the reply, and lost."""
    with heard(shared_audio / "dev" / f"{clip}.flac", ears) as recording:
        turns = user_turns(play(recording, options_of(settings)))
    assert len(turns) == 1
    found = iter(normalise(turns[0]).replace(" ", ""))
    # One of them may be misheard ("M" for "N").
    assert sum(letter in found for letter in letters) >= len(letters) - 1, turns


@pytest.mark.parametrize(("clip", "word"), [("uberi_fr", "1"), ("riva_de-DE_sample", "region"), ("mfa_uhum", "forced")])
def test_a_sentence_that_goes_on_over_its_reply_is_heard_to_its_end(
    clip: str, word: str, shared_audio: Path, ears: Ears, settings: Settings
) -> None:
    with heard(shared_audio / "dev" / f"{clip}.flac", ears) as recording:
        turns = user_turns(play(recording, options_of(settings)))
    assert len(turns) == 1
    assert word in normalise(turns[0]), turns
