"""Runs a target: its seeds and cases, then inputs made of them."""

import contextlib
import hashlib
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.target import CASES, Check, Target
from tests.thorough import share

MAX_CPU_S = 1.0
"""Processor time of an input beyond which it is a fault: parsers run where the sound of all calls does."""


class FoundError(AssertionError):
    """An input at which a parser does not do what it owes.

    Args:
        target: whose input it is.
        data: the input.
        error: what was raised.
    """

    def __init__(self, target: str, data: bytes, error: BaseException) -> None:
        super().__init__(f"{target}: {type(error).__name__}: {error}\ninput: {data!r}")
        self.data = data


class TooSlowError(BaseException):
    """An input has taken `MAX_CPU_S`. (No `Exception`: what is tested may catch those.)"""


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """Ends what takes too long, also where it is a loop without end."""

    def over(*_: object) -> None:
        raise TooSlowError(f"took more than {MAX_CPU_S:g} s of the processor")

    before = signal.signal(signal.SIGVTALRM, over)
    signal.setitimer(signal.ITIMER_VIRTUAL, MAX_CPU_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def run_checked(target: Target, check: Check, data: bytes) -> None:
    """Feed one input.

    Raises:
        FoundError: the parser broke, or took far too long.
    """
    try:
        with _limited():
            check(data)
    except (Exception, TooSlowError) as error:
        raise FoundError(target.name, data, error) from error


def known(target: Target) -> list[bytes]:
    """Seeds and cases."""
    return [*target.seeds(), *target.cases()]


def made_up(target: Target, dice: random.Random) -> Iterator[bytes]:
    """Inputs without end. What was made is changed further, so that some get far from the seeds."""
    pool = known(target)
    seeds = len(pool)
    while True:
        data = target.mutate(dice.choice(pool), dice)[: target.longest]
        if dice.random() < 0.2:
            pool[seeds:] = [*pool[seeds:][-63:], data]
        yield data


def run_briefly(target: Target, seed: int = 1) -> int:
    """Everything known, and `share(target.runs)` made-up inputs, the same every time; returns how many.

    Raises:
        FoundError: at the first that breaks the parser.
    """
    dice = random.Random(f"{target.name} {seed}")
    runs = share(target.runs)
    with target.open() as check:
        before = known(target)
        for data in before:
            run_checked(target, check, data)
        for _, data in zip(range(runs), made_up(target, dice), strict=False):
            run_checked(target, check, data)
    return len(before) + runs


def run_long(target: Target, seconds: float, seed: int) -> int:
    """As `run_briefly`, for a time; returns how many.

    Raises:
        FoundError: at the first that breaks the parser; it is kept among the cases.
    """
    dice, until, count = random.Random(seed), time.monotonic() + seconds, 0
    with target.open() as check:
        inputs = made_up(target, dice)
        try:
            while time.monotonic() < until:
                run_checked(target, check, next(inputs))
                count += 1
        except FoundError as found:
            keep(target, found.data)
            raise
    return count


def keep(target: Target, data: bytes) -> Path:
    """Write an input to the cases of a target."""
    folder = CASES / target.name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / hashlib.sha256(data).hexdigest()[:16]
    path.write_bytes(data)
    return path
