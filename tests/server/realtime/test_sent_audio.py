"""Where a moment of what a client got lies in a reply."""

from server.realtime.sent_audio import KEPT, SentAudio


def test_without_a_break_the_two_are_the_same() -> None:
    sent = SentAudio()
    for frame in range(50):
        sent.add("item", frame * 20, 20)
    assert (sent.length_ms("item"), sent.at("item", 430)) == (1000, 430)
    assert sent.length_ms("other") is None


def test_behind_a_word_that_was_sent_again_the_client_has_got_more() -> None:
    sent = SentAudio()
    for frame in range(50):
        sent.add("item", frame * 20, 20)
    for frame in range(50):
        sent.add("item", 700 + frame * 20, 20)
    assert sent.length_ms("item") == 2000
    assert sent.at("item", 999) == 999
    assert sent.at("item", 1000) == 700
    assert sent.at("item", 1500) == 1200


def test_only_the_last_replies_are_kept() -> None:
    sent = SentAudio()
    for number in range(KEPT + 10):
        sent.add(f"item_{number}", 0, 20)
    assert sent.length_ms("item_0") is None
    assert sent.length_ms(f"item_{KEPT + 9}") == 20
