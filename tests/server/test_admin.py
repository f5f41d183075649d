"""What the operator's page is told: faults as they were logged, the load, the turns of the last hour."""

import asyncio
import logging
from dataclasses import dataclass, field

import pytest
import structlog

from pipeline.call.events import TurnLatency
from server.observability.faults import FAULTS, KEPT, FaultKeeper
from server.observability.load_sampler import LoadSampler
from server.observability.logs import configure_logs
from server.observability.metrics import Metrics
from server.observability.recent import TURNS, AnsweredTurn, Recent
from server.settings import Settings

pytestmark = pytest.mark.unit


@dataclass
class Lines:
    """Two calls of five."""

    active: list[str] = field(default_factory=lambda: ["one", "two"])
    capacity: int = 5


@pytest.fixture
def logger() -> logging.Logger:
    made = logging.Logger("morgan.test")
    made.addHandler(FaultKeeper())
    return made


def kept(logger: logging.Logger) -> FaultKeeper:
    (handler,) = logger.handlers
    assert isinstance(handler, FaultKeeper)
    return handler


def test_warnings_are_kept_and_what_is_no_fault_is_not(logger: logging.Logger) -> None:
    logger.info("all is well")
    logger.warning("the store is slow")
    (fault,) = kept(logger).since(0)
    assert (fault.level, fault.message, fault.source) == ("warning", "the store is slow", "morgan.test")
    assert kept(logger).since(fault.number) == []


def test_an_exception_is_named_and_its_words_are_not_shown(logger: logging.Logger) -> None:
    try:
        raise ValueError("what the caller said")
    except ValueError:
        logger.exception("not understood")
    (fault,) = kept(logger).since(0)
    assert fault.fields == {"error": "ValueError"}


def test_only_so_many_faults_are_kept_and_their_numbers_go_on(logger: logging.Logger) -> None:
    for _ in range(KEPT + 10):
        logger.error("x" * 10_000)
    faults = kept(logger).since(0)
    assert len(faults) == KEPT
    assert faults[-1].number == KEPT + 10
    assert len(faults[0].message) <= 300


def test_the_servers_own_logs_reach_the_page_with_their_fields() -> None:
    root = logging.getLogger()
    handlers, level, configured = root.handlers[:], root.level, structlog.get_config()
    before = max((fault.number for fault in FAULTS.since(0)), default=0)
    try:
        configure_logs(Settings(log_format="json"))
        structlog.get_logger("server.calls").error("not freed cleanly", what="line", exc_info=OSError("secret"))
    finally:
        root.handlers = handlers
        root.setLevel(level)
        structlog.configure(**configured)
    (fault,) = FAULTS.since(before)
    assert (fault.message, fault.level, fault.source) == ("not freed cleanly", "error", "server.calls")
    assert fault.fields == {"what": "line", "error": "OSError"}


def test_the_last_turns_are_kept_one_by_one() -> None:
    metrics = Metrics()
    for n in range(TURNS + 5):
        metrics.call_event(TurnLatency("item", float(n), {"stt": float(n)}))
    turns = metrics.recent.turns(float("-inf"))
    assert len(turns) == TURNS
    assert (turns[-1].voice_to_voice_ms, turns[-1].stages) == (TURNS + 4, {"stt": TURNS + 4})


def test_only_what_is_newer_is_told() -> None:
    recent = Recent()
    for at in (1.0, 2.0, 3.0):
        recent.answered(AnsweredTurn(at, 400.0, {}))
    assert [turn.at for turn in recent.turns(1.5)] == [2.0, 3.0]


async def test_the_load_is_looked_at_again_and_again() -> None:
    recent, lines = Recent(), Lines()
    sampler = LoadSampler(recent, lines, [], period_s=0.01)
    async with asyncio.timeout(30):
        while len(recent.loads(float("-inf"))) < 3:  # noqa: ASYNC110 - a plain list, which sets no event
            await asyncio.sleep(0.01)
    await sampler.close()
    load = recent.loads(float("-inf"))[-1]
    assert (load.calls, load.capacity, load.waiting) == (2, 5, 0)
