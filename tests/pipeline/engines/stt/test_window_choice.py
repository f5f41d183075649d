"""The silence behind the speech in Whisper's first windows."""

from pipeline.engines.stt.encoded_silence import LONGEST_FRAMES
from pipeline.engines.stt.whisper_encoder import window_frames
from pipeline.engines.stt.whisper_pieces import Rung, rungs
from pipeline.engines.stt.window_choice import FULL_PADDING_S, PADDINGS_S, WindowChoice


def test_windows_that_are_believed_keep_their_length() -> None:
    choice = WindowChoice(8.0)
    for number in range(500):
        choice.heard(doubted=number % 20 == 0)
    assert choice.padding_s == 8.0


def test_windows_that_are_doubted_too_often_grow() -> None:
    choice = WindowChoice(8.0)
    for number in range(60):
        choice.heard(doubted=number % 6 == 0)
    assert choice.padding_s == 10.0
    for _ in range(200):
        choice.heard(doubted=True)
    assert choice.padding_s == PADDINGS_S[-1]


def test_behind_a_full_first_window_come_shorter_ones_and_never_the_same_again() -> None:
    heard = [rung.padding_s for rung in rungs(Rung(FULL_PADDING_S), 3.0, precise=False)]
    assert heard == [FULL_PADDING_S, 8.0, 15.0]
    assert window_frames(16_000, FULL_PADDING_S) == LONGEST_FRAMES
