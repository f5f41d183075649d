"""The silence behind the speech in Whisper's first windows."""

from pipeline.engines.stt.window_choice import PADDINGS_S, WindowChoice


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
