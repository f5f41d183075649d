"""Recorded clips and what is said in them, from a folder with a `manifest.tsv`.

The manifest is a table parted by tabs with a line of headings. Columns that are read: `file` (beside the manifest),
`seconds`, `language` (ISO 639-1), `transcript`, `tags` (parted by commas) and `must_contain` (phrases parted by "; ",
for clips whose transcript is not known). A clip that is tagged `noise` holds nobody who speaks to Morgan.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

T = TypeVar("T")

OWN_CLIPS: Final = Path(__file__).resolve().parent.parent / "tests" / "clips"
"""Those of the repository: one synthetic voice, for a clone that has nothing else."""

QUESTION_S: Final = (1.4, 9.0)
"""What is asked in a call of a benchmark takes between these, seconds."""

_UNASKED: Final = frozenset(
    {"noise", "overlap", "spelled", "derived", "synthetic", "maybe-synthetic", "one-word", "digits"}
)


class ManifestError(Exception):
    """The clips cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class RealClip:
    """A recording and what is known of it.

    Attributes:
        path: of the audio.
        seconds: its length.
        language: ISO 639-1 code; empty for noise.
        transcript: what is said; empty where nobody wrote it down, and for noise.
        tags: what kind of recording it is.
        phrases: that a right transcript holds, where the whole of it is not known.
    """

    path: Path
    seconds: float
    language: str = ""
    transcript: str = ""
    tags: frozenset[str] = frozenset()
    phrases: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """File name without its ending."""
        return self.path.stem

    @property
    def noise(self) -> bool:
        """Whether nobody speaks to Morgan in it."""
        return "noise" in self.tags

    @property
    def spoken(self) -> bool:
        """Whether somebody says something, written down or not."""
        return not self.noise


def read_clips(folder: Path = OWN_CLIPS) -> list[RealClip]:
    """The clips of a folder, in the order of its manifest.

    Raises:
        ManifestError: there is no manifest, a column is missing, a value cannot be read, or a file is not there.
    """
    path = folder / "manifest.tsv"
    if not path.is_file():
        raise ManifestError(
            f"There is no manifest.tsv in {folder}: `morgan bench hearing FOLDER` wants one beside clips"
        )
    with path.open(encoding="utf-8", newline="") as file:
        table = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        missing = {"file", "seconds", "language", "transcript", "tags"} - set(table.fieldnames or ())
        if missing:
            raise ManifestError(f"{path} lacks the columns {', '.join(sorted(missing))}")
        return [_clip(folder, row, f"{path}:{table.line_num}") for row in table]


def _clip(folder: Path, row: dict[str, str | None], where: str) -> RealClip:
    audio = folder / (row["file"] or "")
    if not audio.is_file():
        raise ManifestError(f"{where}: there is no {row['file']} in {folder}")
    try:
        seconds = float(row["seconds"] or "")
    except ValueError:
        raise ManifestError(f"{where}: {row['seconds']!r} is no number of seconds") from None
    return RealClip(
        path=audio,
        seconds=seconds,
        language=(row["language"] or "").strip(),
        transcript=(row["transcript"] or "").strip(),
        tags=frozenset(_parts(row["tags"], ",")),
        phrases=tuple(_parts(row.get("must_contain"), ";")),
    )


def _parts(text: str | None, mark: str) -> list[str]:
    return [part.strip() for part in (text or "").split(mark) if part.strip()]


def questions(clips: Iterable[RealClip], count: int) -> list[RealClip]:
    """Up to `count` clips that a caller could say in a call: English, of people, neither a word nor a speech."""
    shortest, longest = QUESTION_S
    fitting = [
        clip
        for clip in clips
        if clip.spoken
        and clip.language == "en"
        and shortest <= clip.seconds <= longest
        and not clip.tags & _UNASKED
        and (clip.transcript or clip.phrases)
    ]
    return spread(fitting, count)


def spread(items: Sequence[T], count: int) -> list[T]:
    """Up to `count` of them, evenly from the first to the last."""
    if count >= len(items):
        return list(items)
    return [items[round(number * (len(items) - 1) / max(1, count - 1))] for number in range(count)]
