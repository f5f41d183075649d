"""The circuit breaker, in virtual time."""

from pipeline.engines.remote.breaker import CircuitBreaker


def test_failures_in_a_row_open_it_and_others_do_not() -> None:
    breaker = CircuitBreaker(failures=3)
    for _ in range(10):
        breaker.failed(0.0)
        breaker.failed(0.0)
        breaker.succeeded()
    assert breaker.state(0.0) == "closed"
    for _ in range(3):
        breaker.failed(0.0)
    assert breaker.state(0.0) == "open"
    assert not breaker.enter(0.0)


def test_a_server_that_is_gone_opens_it_at_once() -> None:
    breaker = CircuitBreaker(failures=3)
    breaker.failed(5.0, gone=True)
    assert breaker.state(5.0) == "open"


def test_one_try_passes_after_each_pause() -> None:
    breaker = CircuitBreaker(failures=1, pause_s=1.0)
    breaker.failed(0.0)
    assert not breaker.enter(0.99)
    assert breaker.state(1.0) == "half-open"
    assert [breaker.enter(1.0) for _ in range(3)] == [True, False, False]


def test_a_try_that_succeeds_closes_it() -> None:
    breaker = CircuitBreaker(failures=1, pause_s=1.0)
    breaker.failed(0.0)
    assert breaker.enter(1.0)
    breaker.succeeded()
    assert breaker.state(1.0) == "closed"
    assert all(breaker.enter(1.0) for _ in range(3))


def test_pauses_grow_up_to_a_bound_and_begin_anew_after_a_success() -> None:
    breaker = CircuitBreaker(failures=1, pause_s=1.0, longest_pause_s=3.0)
    now, pauses = 0.0, []
    breaker.failed(now)
    for _ in range(4):
        began = now
        while not breaker.enter(now):
            now += 0.5
        pauses.append(now - began)
        breaker.failed(now)
    assert pauses == [1.0, 2.0, 3.0, 3.0]
    breaker.succeeded()
    breaker.failed(now)
    assert breaker.enter(now + 1.0)
