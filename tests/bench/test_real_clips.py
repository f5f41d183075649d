"""Reading a manifest of real clips, and what a caller would say of them."""

from pathlib import Path

import pytest

from bench.real_clips import OWN_CLIPS, ManifestError, questions, read_clips, spread

HEAD = "file\tseconds\tlanguage\ttranscript\ttags\tsource\tlicence\tmust_contain\n"
ROWS = (
    "a.flac\t2.50\ten\tdrop the two\tread,short\tx\tMIT\t\n"
    "b.flac\t6.90\ten\t\tcommand,accent\tx\tMIT\ticed coffee; whole milk\n"
    'c.flac\t1.00\ten\t"B"\tshort,one-word\tx\tMIT\t\n'
    "d.flac\t4.00\t\t\tnoise,car-horn\tx\tMIT\t\n"
    "e.flac\t2.00\tfr\tsuivant\tshort\tx\tMIT\t\n"
)


def folder_with(path: Path, manifest: str) -> Path:
    (path / "manifest.tsv").write_text(manifest)
    for name in "abcde":
        (path / f"{name}.flac").touch()
    return path


def test_a_manifest_is_read_as_it_stands(tmp_path: Path) -> None:
    clips = read_clips(folder_with(tmp_path, HEAD + ROWS))
    assert [clip.name for clip in clips] == list("abcde")
    assert clips[0].transcript == "drop the two"
    assert clips[0].tags == {"read", "short"}
    assert clips[1].phrases == ("iced coffee", "whole milk")
    assert clips[2].transcript == '"B"'
    assert clips[3].noise
    assert not clips[3].spoken
    assert clips[4].language == "fr"


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ("file\tseconds\tlanguage\n", "lacks the columns tags, transcript"),
        (HEAD + "z.flac\t1.0\ten\tx\t\t\t\t\n", "there is no z.flac"),
        (HEAD + "a.flac\tlong\ten\tx\t\t\t\t\n", "manifest.tsv:2: 'long' is no number"),
    ],
)
def test_a_manifest_that_will_not_do_says_why(tmp_path: Path, manifest: str, words: str) -> None:
    with pytest.raises(ManifestError, match=words):
        read_clips(folder_with(tmp_path, manifest))


def test_a_folder_without_a_manifest_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"no manifest\.tsv"):
        read_clips(tmp_path)


def test_a_caller_says_english_sentences(tmp_path: Path) -> None:
    clips = read_clips(folder_with(tmp_path, HEAD + ROWS))
    assert [clip.name for clip in questions(clips, 10)] == ["a", "b"]


def test_the_clips_of_the_repository_are_all_in_their_manifest() -> None:
    named = {clip.path.name for clip in read_clips()}
    assert named == {path.name for path in OWN_CLIPS.glob("*.wav")}


def test_a_sample_runs_from_the_first_to_the_last() -> None:
    assert spread(range(100), 3) == [0, 50, 99]
    assert spread(range(2), 3) == [0, 1]
    assert spread(range(5), 1) == [0]
