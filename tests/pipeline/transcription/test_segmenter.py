from pipeline.call.inputs import VoiceHeard
from pipeline.call.user.audio_buffer import WINDOW
from pipeline.transcription.segmenter import Segmenter, Segmenting, Span

CONFIG = Segmenting(pause_s=0.8, longest_s=4.0)
SECOND = 16_000


def heard(segmenter: Segmenter, *parts: tuple[float, float, float]) -> list[Span]:
    """What windows of (seconds, probability, level) end; each part follows the one before."""
    spans, end = [], 0
    for seconds, probability, level in parts:
        for _ in range(round(seconds * SECOND / WINDOW)):
            end += WINDOW
            span = segmenter.hear(VoiceHeard(probability, (level,) * 4, end, 0.0))
            if span is not None:
                spans.append(span)
    return spans


def test_a_pause_ends_a_stretch_with_some_silence_on_both_sides() -> None:
    (span,) = heard(Segmenter(CONFIG), (1.024, 0.0, -60), (1.024, 0.9, -20), (1.024, 0.0, -60))
    assert abs(span.start / SECOND - (1.024 - 0.3)) < 0.04
    assert abs(span.end / SECOND - (2.048 + 0.2)) < 0.04


def test_a_click_is_no_speech() -> None:
    segmenter = Segmenter(CONFIG)
    assert heard(segmenter, (1.0, 0.0, -60), (0.032, 0.9, -10), (2.0, 0.0, -60)) == []
    assert segmenter.finish() is None


def test_a_short_pause_does_not_part_a_sentence() -> None:
    segmenter = Segmenter(CONFIG)
    assert heard(segmenter, (1.0, 0.9, -20), (0.5, 0.0, -60), (1.0, 0.9, -20)) == []
    assert segmenter.finish() is not None


def test_speech_without_pauses_is_cut_at_its_quietest_point_and_loses_nothing() -> None:
    segmenter = Segmenter(CONFIG)
    (first,) = heard(segmenter, (3.008, 0.9, -20), (0.192, 0.9, -40), (1.0, 0.9, -20))
    assert 3.0 < first.end / SECOND < 3.2
    second = segmenter.finish()
    assert second is not None
    assert second.start == first.end


def test_audio_before_what_may_still_be_speech_is_not_needed() -> None:
    segmenter = Segmenter(CONFIG)
    heard(segmenter, (10.0, 0.0, -60))
    assert 9.0 < segmenter.needed_from / SECOND < 10.0
    heard(segmenter, (1.0, 0.9, -20))
    assert segmenter.needed_from == segmenter.open_since


def test_pauses_inside_of_a_stretch_are_told() -> None:
    segmenter = Segmenter(Segmenting(pause_s=1.5, longest_s=28.0))
    heard(segmenter, (4.0, 0.9, -20), (0.64, 0.0, -60), (1.0, 0.9, -20), (0.3, 0.0, -60), (5.0, 0.9, -20))
    span = segmenter.finish()
    assert span is not None
    ((begin, end),) = span.pauses
    assert abs(begin / SECOND - 4.0) < 0.04
    assert abs(end / SECOND - 4.64) < 0.04


def test_pauses_behind_a_cut_belong_to_the_next_stretch() -> None:
    segmenter = Segmenter(Segmenting(pause_s=1.5, longest_s=10.0))
    speech = (4.0, 0.9, -20), (0.64, 0.0, -60), (2.0, 0.9, -20), (0.96, 0.0, -60), (4.0, 0.9, -20)
    (first,) = heard(segmenter, *speech)
    last = segmenter.finish()
    assert last is not None
    assert (len(first.pauses), last.pauses) == (1, ())
    assert first.end == last.start


def test_a_stretch_is_parted_at_its_longest_pauses_and_no_part_gets_too_short() -> None:
    span = Span(0, 12 * SECOND, ((2 * SECOND, 3 * SECOND), (4 * SECOND, 6 * SECOND), (8 * SECOND, 9 * SECOND)))
    cuts = [part.end / SECOND for part in span.parted(3.0)]
    assert cuts == [5.0, 8.5, 12.0]
    assert [part.start for part in span.parted(3.0)] == [0, 5 * SECOND, 8.5 * SECOND]
    assert span.parted(20.0) == [Span(0, 12 * SECOND)]
