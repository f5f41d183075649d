"""What waits for Redis: the last value counts, what is taken back gives way, and all of it is bounded."""

from persistence.cache.pending_writes import MAX_KEYS_WAITING, MAX_MESSAGES_WAITING, PendingWrites
from persistence.cache.redis_figures import RedisFigures


def test_the_last_of_several_values_counts() -> None:
    pending = PendingWrites(RedisFigures())
    pending.value("a", b"1", 60)
    pending.value("b", b"2", 60)
    pending.value("a", None, 0)
    assert list(pending.take().values.items()) == [("b", (b"2", 60)), ("a", (None, 0))]
    assert not pending.take().values


def test_what_is_taken_back_gives_way_to_what_came_meanwhile() -> None:
    figures = RedisFigures()
    pending = PendingWrites(figures)
    pending.value("a", b"old", 60)
    pending.value("b", b"kept", 60)
    pending.active("ada", 1.0)
    pending.gone("eve")
    pending.message("channel", b"lost")
    batch = pending.take()
    pending.value("a", b"new", 60)
    pending.active("eve", 2.0)
    pending.take_back(batch)
    again = pending.take()
    assert again.values == {"a": (b"new", 60), "b": (b"kept", 60)}
    assert (again.active, again.gone) == ({"ada": 1.0, "eve": 2.0}, set())
    assert not again.messages
    assert figures.dropped == 1


def test_what_finds_it_full_takes_the_place_of_the_oldest() -> None:
    figures = RedisFigures()
    pending = PendingWrites(figures)
    for number in range(MAX_KEYS_WAITING + 1):
        pending.value(f"key {number}", b"", 60)
    for number in range(MAX_MESSAGES_WAITING + 1):
        pending.message("channel", str(number).encode())
    batch = pending.take()
    assert (len(batch.values), "key 0" in batch.values) == (MAX_KEYS_WAITING, False)
    assert (len(batch.messages), batch.messages[0]) == (MAX_MESSAGES_WAITING, ("channel", b"1"))
    assert figures.dropped == 2
