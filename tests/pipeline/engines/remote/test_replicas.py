"""Which server of several is asked, in virtual time."""

from collections import Counter

from pipeline.engines.remote.replicas import AFFINITY, Replica, Replicas

URLS = ("http://a:8001", "http://b:8001/", "http://c:8001")


def asked(replicas: Replicas, now: float = 0.0, conversation: str = "") -> Replica:
    found = replicas.next(now, (), conversation)
    assert found is not None
    return found


def test_work_goes_to_the_server_with_the_least_in_flight() -> None:
    replicas = Replicas(URLS)
    first, second, third = replicas.all
    first.in_flight, second.in_flight, third.in_flight = 2, 1, 3
    assert all(asked(replicas) is second for _ in range(6))


def test_equals_take_turns() -> None:
    replicas = Replicas(URLS)
    assert Counter(asked(replicas).url for _ in range(9)) == {
        "http://a:8001": 3,
        "http://b:8001": 3,
        "http://c:8001": 3,
    }


def test_a_dead_server_is_skipped_until_its_pause_is_over() -> None:
    replicas = Replicas(URLS[:2])
    dead, alive = replicas.all
    dead.failed(0.0, "refused", gone=True)
    assert all(asked(replicas) is alive for _ in range(5))
    assert replicas.usable(0.0) == 1
    alive.failed(0.1, "refused", gone=True)
    assert replicas.next(0.2) is None
    assert asked(replicas, 10.0) in (dead, alive)


def test_a_server_that_failed_at_this_work_is_not_asked_again() -> None:
    replicas = Replicas(URLS[:2])
    first = asked(replicas)
    second = replicas.next(0.0, [first])
    assert second is not None
    assert second is not first
    assert replicas.next(0.0, [first, second]) is None


def test_a_conversation_stays_with_one_server_unless_that_is_much_busier() -> None:
    replicas = Replicas(URLS)
    homes = {key: asked(replicas, conversation=key) for key in (f"conversation {n}" for n in range(30))}
    assert len(set(homes.values())) == 3
    assert all(asked(replicas, conversation=key) is home for key, home in homes.items())
    key, home = next(iter(homes.items()))
    home.in_flight = AFFINITY + 1
    assert asked(replicas, conversation=key) is not home
