"""Real clips through the real engine and through what it is compared with."""

from pathlib import Path

from bench.heard_clips import Reference, hear_all, read_clip
from bench.hearing_figures import errors_of, figures
from bench.real_clips import read_clips
from pipeline.audio import HEARING_RATE
from pipeline.engines.stt.faster_whisper import FasterWhisper


async def test_clips_are_heard_by_both_and_timed(models_dir: Path) -> None:
    clips = [clip for clip in read_clips() if clip.name in ("question", "recall")]
    engine = FasterWhisper(models_dir / "whisper-base")
    try:
        heard = await hear_all(clips, engine, Reference(models_dir / "whisper-base"))
    finally:
        await engine.close()
    short, long = heard
    for each in heard:
        assert 2 * errors_of(each.clip, each.engine.text).edits <= len(each.clip.transcript.split())
        assert 2 * errors_of(each.clip, each.reference.text).edits <= len(each.clip.transcript.split())
        assert min(each.reference.took.cpu_s, each.engine.took.cpu_s) > 0
    assert short.with_prior is not None, "a short clip is heard with a prior too"
    assert long.with_prior is None
    assert figures(heard)["empty"] == []


def test_the_reference_encodes_a_window_once(models_dir: Path) -> None:
    reference = Reference(models_dir / "whisper-base")
    encoded = []
    encode = reference._encode
    reference._encode = lambda features: encoded.append(features.shape[-1]) or encode(features)
    clip = next(clip for clip in read_clips() if clip.name == "question")
    audio = read_clip(clip)
    assert abs(len(audio) / HEARING_RATE - clip.seconds) < 0.02
    first, second = reference.hear(audio), reference.hear(audio)
    assert encoded == [3000, 3000]
    assert (first.text, first.language) == (second.text, second.language)
