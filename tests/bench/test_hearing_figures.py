"""What transcripts of many clips come to, which bounds they break, and how that is shown."""

import io
from pathlib import Path

from rich.console import Console

from bench.heard_calls import HeardInCall, broken_in_calls, call_figures, transcript_of
from bench.heard_clips import Heard, Took, Version
from bench.hearing_figures import broken_bounds, details, figures
from bench.hearing_table import show_calls, show_hearing
from bench.real_clips import RealClip


def clip(name: str, transcript: str, *, seconds: float = 3.0, language: str = "en", tags: str = "read") -> RealClip:
    return RealClip(Path(f"{name}.flac"), seconds, language, transcript, frozenset(tags.split(",")))


def version(text: str, language: str = "en", wall_s: float = 0.1) -> Version:
    return Version(text, language, Took(wall_s, wall_s))


def heard(one: RealClip, text: str, language: str = "en", prior: Version | None = None) -> Heard:
    return Heard(one, version(text, language), version(one.transcript, one.language, 1.0), prior)


GOOD = heard(clip("good", "drop the two when you add the figures"), "Drop the 2 when you add the figures.")


def test_all_is_well_where_every_clip_is_heard() -> None:
    found = figures([GOOD])
    assert broken_bounds(found) == []
    assert found["errors"]["english"] == {
        "clips": 1,
        "words": 8,
        "edits": 0,
        "reference_edits": 0,
        "rate": 0.0,
        "reference_rate": 0.0,
    }
    assert found["time"]["ratio"] == 0.1


def test_empty_and_doubled_clips_are_named() -> None:
    twice = heard(clip("twice", "are you a student"), "Are you a student? Are you a student?")
    found = figures([GOOD, twice, heard(clip("lost", "good morning"), "")])
    assert found["empty"] == ["lost"]
    assert found["doubled"] == ["twice"]
    assert [line.split(":")[0] for line in broken_bounds(found)[:2]] == ["1 empty", "1 doubled"]


def test_a_language_counts_by_how_much_was_known() -> None:
    long = heard(clip("long", "quelle heure est-il", language="fr"), "what", "en")
    short = heard(clip("short", "nine", seconds=0.5), "nain", "de", version("nine"))
    found = figures([long, short])["language"]
    assert found["long"] == {"clips": 1, "wrong": {"long": "en"}}
    assert found["short"] == {"clips": 1, "wrong": {"short": "de"}}
    assert found["short_with_prior"] == {"clips": 1, "wrong": {}}


def test_a_few_short_clips_without_a_prior_may_be_taken_for_another_language() -> None:
    short = [heard(clip(f"s{n}", "nine", seconds=0.5), "nine", "en", version("nine")) for n in range(99)]
    wrong = heard(clip("odd", "nine", seconds=0.5), "nine", "de", version("nine"))
    assert broken_bounds(figures([*short, wrong])) == []
    assert broken_bounds(figures([*short[:9], wrong])) == ["wrong language, 1 of 10 short clips: odd (de)"]


def test_the_word_error_is_held_against_the_reference() -> None:
    bad = heard(clip("bad", "one two three four"), "one two")
    assert broken_bounds(figures([GOOD, bad])) == ["word error of English 0.167, of beam 5 on 30 s 0.000"]


def test_each_group_of_languages_is_held_against_the_reference_by_itself() -> None:
    french = heard(clip("fr", "ouvre tous les volets", language="fr"), "ouvrez tous ces volets", "fr")
    chinese = heard(clip("zh", "砸自己的脚", language="zh"), "砸自已的角", "zh")
    assert broken_bounds(figures([GOOD] * 50 + [french, chinese])) == [
        "word error of other languages 0.500, of beam 5 on 30 s 0.000",
        "character error of zh, ja, ko 0.400, of beam 5 on 30 s 0.000",
    ]


def test_one_wrong_word_of_a_few_is_within_the_bound() -> None:
    french = heard(clip("fr", "ouvre tous les volets", language="fr"), "ouvrez tous les volets", "fr")
    assert broken_bounds(figures([GOOD, french])) == []


def test_noise_is_not_counted_as_words_but_told() -> None:
    found = figures([GOOD, heard(clip("dog", "", language="", tags="noise"), "Woof")])
    assert found["with_words"] == 1
    assert found["invented"] == {"dog": "Woof"}
    assert broken_bounds(found) == []


def test_word_errors_are_told_by_tag_and_chinese_by_character() -> None:
    chinese = heard(clip("zh", "砸自己的脚", language="zh", tags="short"), "砸自已的脚", "zh")
    found = figures([GOOD, chinese])
    assert list(found["by_tag"]) == ["read"]
    assert found["errors"]["characters"]["rate"] == 0.2
    assert found["errors"]["others"]["words"] == 0


def test_the_tables_hold_every_path() -> None:
    twice = heard(clip("are_you", "are you a student", tags="[odd]"), "Are you a student? Are you a student?")
    found = figures([GOOD] * 4 + [twice] * 6)
    reports = [
        {"path": path, "figures": found, "broken": broken_bounds(found), "clips": details([GOOD])}
        for path in ("as it is", "AVX2")
    ]
    console = Console(file=io.StringIO(), width=160)
    show_hearing(reports, console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "as it is" in shown
    assert shown.count("6: are_you") == 2
    assert "[odd]" in shown
    assert "out of bounds (AVX2): 6 doubled: are_you" in shown


def completed(item: str, text: str) -> tuple[float, str]:
    kind = "conversation.item.input_audio_transcription.completed"
    return 0.0, f'{{"type": "{kind}", "item_id": "{item}", "transcript": "{text}"}}'


def test_the_last_word_on_each_turn_counts() -> None:
    messages = [(0.0, '{"type": "morgan.state"}'), completed("1", "Should I"), completed("1", "Should I go?")]
    assert transcript_of([*messages, completed("2", "Now.")]) == "Should I go? Now."


def test_a_call_must_be_answered_and_understood_once() -> None:
    one = clip("one", "are you a student")
    calls = [
        HeardInCall(one, "Are you a student?", 0.4),
        HeardInCall(clip("two", "good morning"), "Good morning. Good morning.", 0.6),
        HeardInCall(clip("three", "six"), "", None),
        HeardInCall(clip("dog", "", tags="noise"), "", None),
    ]
    found = call_figures(calls)
    assert (found["with_words"], found["answered"], found["p50_ms"]) == (3, 2, 500)
    assert broken_in_calls(found) == ["1 not answered: three", "1 empty: three", "1 doubled: two"]
    console = Console(file=io.StringIO(), width=160)
    show_calls([{"path": "as it is", "figures": found, "broken": []}], console)
    assert "1: three (-)" in console.file.getvalue()  # type: ignore[attr-defined]
