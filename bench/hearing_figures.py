"""What many transcripts come to: empty, doubled, in a wrong language, word error by tag; and whether that will do."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from bench.heard_clips import SHORT_S, Heard, Version
from bench.real_clips import RealClip
from bench.word_errors import BY_CHARACTER, Errors, count_errors, holds_phrase, is_doubled, total

MOST_WRONG_SHORT: Final = 0.03
"""Share of short clips without a prior that may be taken for another language."""

MOST_WORSE: Final = 0.01
"""By so much the word error of each group of languages may lie above that of the reference; by one edit where the group
has too few words to tell so little."""

MOST_TIME: Final = 0.45
"""Of the time of the reference."""

Json = dict[str, Any]


def figures(heard: Sequence[Heard]) -> Json:
    """Everything that is counted, as JSON. Names of clips stand where they are few and somebody wants to hear them."""
    spoken = [each for each in heard if each.clip.spoken]
    return {
        "clips": len(heard),
        "with_words": len(spoken),
        "empty": [each.clip.name for each in spoken if not all(version.text for version in each.versions)],
        "doubled": [each.clip.name for each in spoken if any(_doubled(each.clip, v.text) for v in each.versions)],
        "reference_empty": [each.clip.name for each in spoken if not each.reference.text],
        "reference_doubled": [each.clip.name for each in spoken if _doubled(each.clip, each.reference.text)],
        "language": _languages(spoken),
        "errors": _errors(spoken),
        "by_tag": _by_tag(spoken),
        "phrases": _phrases(spoken),
        "time": _times(spoken),
        "invented": {each.clip.name: each.engine.text for each in heard if each.clip.noise and each.engine.text},
        "noises": sum(each.clip.noise for each in heard),
    }


def details(heard: Iterable[Heard]) -> list[Json]:
    """Clip by clip, for the JSON file."""
    return [
        {
            "clip": each.clip.name,
            "seconds": each.clip.seconds,
            "language": each.clip.language,
            "tags": sorted(each.clip.tags),
            "transcript": each.clip.transcript,
            "engine": asdict(each.engine),
            "reference": asdict(each.reference),
            "with_prior": asdict(each.with_prior) if each.with_prior else None,
        }
        for each in heard
    ]


def errors_of(clip: RealClip, text: str) -> Errors:
    """Of one transcript; none where nobody knows what was said."""
    return count_errors(clip.transcript, text, clip.language) if clip.transcript else Errors()


def _doubled(clip: RealClip, text: str) -> bool:
    return is_doubled(clip.transcript, text, clip.language)


def _languages(spoken: Iterable[Heard]) -> Json:
    """Of how many clips how many were taken for another language, by how much was known."""

    def group(pick: Callable[[Heard], Version | None]) -> Json:
        versions = [(each.clip, version) for each in spoken if (version := pick(each)) and each.clip.language]
        wrong = {c.name: v.language for c, v in versions if v.text and v.language != c.language}
        return {"clips": len(versions), "wrong": wrong}

    spoken = list(spoken)
    return {
        "long": group(lambda each: each.engine if each.clip.seconds >= SHORT_S else None),
        "short_with_prior": group(lambda each: each.with_prior),
        "short": group(lambda each: each.engine if each.clip.seconds < SHORT_S else None),
        "reference": group(lambda each: each.reference),
    }


def _kind(clip: RealClip) -> str:
    return "english" if clip.language == "en" else "characters" if clip.language in BY_CHARACTER else "others"


def _errors(spoken: Sequence[Heard]) -> Json:
    """Of English and other languages by word, of Chinese, Japanese and Korean by character."""
    return {kind: _both(each for each in spoken if _kind(each.clip) == kind) for kind in _KINDS}


_KINDS: Final = {
    "english": "word error of English",
    "others": "word error of other languages",
    "characters": "character error of zh, ja, ko",
}


def _both(heard: Iterable[Heard]) -> Json:
    heard = [each for each in heard if each.clip.transcript]
    engine = total(errors_of(each.clip, each.engine.text) for each in heard)
    reference = total(errors_of(each.clip, each.reference.text) for each in heard)
    return {
        "clips": len(heard),
        "words": engine.words,
        "edits": engine.edits,
        "reference_edits": reference.edits,
        "rate": engine.rate,
        "reference_rate": reference.rate,
    }


def _by_tag(spoken: Sequence[Heard]) -> Json:
    """Of English, and of the clips of each tag: a tag that crosses languages would mix words and characters."""
    english = [each for each in spoken if each.clip.language == "en"]
    tags = sorted({tag for each in english for tag in each.clip.tags})
    rows = {tag: _both(each for each in english if tag in each.clip.tags) for tag in tags}
    return {tag: row for tag, row in rows.items() if row["words"]}


def _phrases(spoken: Iterable[Heard]) -> Json:
    """How many of the phrases that the manifest asks for were understood."""
    wanted = [(each, phrase) for each in spoken for phrase in each.clip.phrases]

    def found(pick: Callable[[Heard], Version]) -> int:
        return sum(holds_phrase(phrase, pick(each).text, each.clip.language) for each, phrase in wanted)

    return {
        "asked": len(wanted),
        "found": found(lambda each: each.engine),
        "reference_found": found(lambda each: each.reference),
    }


def _times(spoken: Sequence[Heard]) -> Json:
    """Sums over all clips with words: what a long clip takes counts more, as it does in a call."""
    if not spoken:
        return {}
    engine, reference = [each.engine.took for each in spoken], [each.reference.took for each in spoken]
    return {
        "p50_ms": round(1000 * statistics.median(took.wall_s for took in engine)),
        "reference_p50_ms": round(1000 * statistics.median(took.wall_s for took in reference)),
        "ratio": sum(took.wall_s for took in engine) / sum(took.wall_s for took in reference),
        "cpu_ratio": sum(took.cpu_s for took in engine) / sum(took.cpu_s for took in reference),
    }


def broken_bounds(found: Mapping[str, Any]) -> list[str]:
    """What of the figures is out of bounds, in words; empty when all is well."""
    broken = [f"{len(found[kind])} {kind}: {', '.join(found[kind])}" for kind in ("empty", "doubled") if found[kind]]
    language = found["language"]
    for group, about in (("long", f"of {SHORT_S} s and more"), ("short_with_prior", "with the right prior")):
        if wrong := language[group]["wrong"]:
            broken.append(f"wrong language, clips {about}: {_named(wrong)}")
    short = language["short"]
    if len(short["wrong"]) > MOST_WRONG_SHORT * short["clips"]:
        broken.append(
            f"wrong language, {len(short['wrong'])} of {short['clips']} short clips: {_named(short['wrong'])}"
        )
    for kind, name in _KINDS.items():
        errors = found["errors"][kind]
        if errors["edits"] - errors["reference_edits"] > max(1, MOST_WORSE * errors["words"]):
            broken.append(f"{name} {errors['rate']:.3f}, of beam 5 on 30 s {errors['reference_rate']:.3f}")
    if found["time"] and found["time"]["ratio"] > MOST_TIME:
        broken.append(f"takes {found['time']['ratio']:.0%} of the time of beam 5 on 30 s")
    return broken


def _named(wrong: Mapping[str, str]) -> str:
    return ", ".join(f"{clip} ({language})" for clip, language in wrong.items())
