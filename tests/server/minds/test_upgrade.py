"""A wiser language model takes the place of the quick one while calls are answered."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from pipeline.engines.llm.replaceable import ReplaceableLanguageModel
from pipeline.engines.llm.speed import LanguageModelSpeed
from pipeline.engines.protocols import ChatDelta, ChatRequest, Message
from pipeline.engines.speeds import EngineSpeeds, VoiceSpeed
from pipeline.models import FetchError, Manifest, ModelStore, ProgressCallback
from pipeline.models.progress import no_progress
from pipeline.scheduling.lanes import Ticket
from server.calls.capacity import LATE, Capacity, alone_s, calls_in_time, others_s
from server.minds import choice
from server.minds.speed_book import SpeedBook, keep_speeds, load_speeds
from server.minds.upgrade import Upgrade
from server.settings import Settings

TINY, SMALL, LARGE = "smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct", "qwen2.5-coder-1.5b-instruct"
REQUEST = ChatRequest((Message("user", "Hello"),))
SPEEDS = EngineSpeeds(2, 1.2, 0.05, LanguageModelSpeed(0.09, 0.1, 1 / 56), VoiceSpeed(0.1, 0.05))
QUICK = LanguageModelSpeed(0.09, 0.1, 1 / 56)
SLOW = EngineSpeeds(2, 0.3, 0.05, LanguageModelSpeed(0.9, 1.0, 0.2), VoiceSpeed(0.1, 0.05))


class Clock:
    """The clock by which speeds are measured: this machine's, and what was only said to have passed."""

    def __init__(self) -> None:
        self.skipped = 0.0

    def perf_counter(self) -> float:
        return time.perf_counter() + self.skipped


CLOCK = Clock()


class Talker:
    """A language model that says its name, so many seconds of `CLOCK` a token, in all answers or the first few."""

    name = "test"
    kind: Literal["in-process", "remote"] = "in-process"
    calls_tools = False

    def __init__(self, model: str, token_s: float = 0.0, slow_answers: int | None = None) -> None:
        self.model = model
        self.closed = False
        self.heard = 0
        self.words: tuple[str, ...] = (model, *(" it is",) * 7)
        self.warm: Exception | None = None
        self.read: list[str] = []
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self._token_s = token_s
        self._slow_answers = slow_answers

    async def stream(self, request: ChatRequest, ticket: Ticket) -> AsyncIterator[ChatDelta]:
        token_s = self._token_s if self._slow_answers != 0 else 0.0
        if self._slow_answers:
            self._slow_answers -= 1
        self.heard += 1
        await self.goes_on.wait()
        for word in self.words:
            CLOCK.skipped += token_s
            await asyncio.sleep(0)
            yield ChatDelta(word)

    async def prefill(self, request: ChatRequest, ticket: Ticket) -> None:
        self.read.append(request.messages[0].content)

    async def warm_up(self) -> None:
        if self.warm is not None:
            raise self.warm

    async def close(self) -> None:
        self.closed = True


class Shelf(ModelStore):
    """Weights that are here, or can be fetched, or cannot."""

    def __init__(self, root: Path, here: set[str], unreachable: set[str] = frozenset()) -> None:  # type: ignore[assignment]
        models = tuple(model for model in Manifest.load().models if model.id in (TINY, SMALL, LARGE))
        super().__init__(root, manifest=Manifest(models))
        self.here = here
        self.unreachable = unreachable
        self.fetched: list[str] = []

    def ensure(self, model_ids: Iterable[str] | None = None, progress: ProgressCallback = no_progress) -> None:
        for model_id in model_ids or ():
            if model_id in self.unreachable:
                raise FetchError(f"Model {model_id} could not be fetched: the index does not answer.")
            self.fetched.append(model_id)
            self.here.add(model_id)


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is here is what the shelf says; this machine has memory enough, and nothing to settle or to wait for."""
    monkeypatch.setattr("pipeline.engines.llm.speed.time", CLOCK)
    monkeypatch.setattr("server.minds.upgrade.SETTLE_S", 0.0)
    monkeypatch.setattr(choice, "is_here", lambda shelf, model_id: model_id in shelf.here)
    monkeypatch.setattr("server.minds.upgrade.is_here", lambda shelf, model_id: model_id in shelf.here)
    monkeypatch.setattr(choice, "usable_memory", lambda: 16 << 30)


class Scene:
    """A server that has begun with the tiny one."""

    def __init__(
        self,
        root: Path,
        shelf: Shelf,
        slow: Collection[str] = (),
        first_s: float = 0.0,
        slow_at_first: Collection[str] = (),
    ) -> None:
        self.settings = Settings(models_dir=root, llm_model=TINY)
        self.first = Talker(TINY, first_s)
        self.llm = ReplaceableLanguageModel(self.first)
        self.capacity = Capacity(None, 2, SPEEDS)
        self.calls = 0
        self.told: list[str] = []
        self.built: list[Talker] = []

        self.as_built: Callable[[Talker], None] = lambda _: None

        def build(settings: Settings) -> Talker:
            name = settings.llm_model
            slow_answers = 2 if name in slow_at_first else None
            self.built.append(Talker(name, 0.2 if name in {*slow, *slow_at_first} else 0.0, slow_answers))
            self.as_built(self.built[-1])
            return self.built[-1]

        self.upgrade = Upgrade(
            self.settings, self.llm, self.capacity, lambda: self.calls, self.told.append, shelf, build
        )


async def test_the_wisest_is_fetched_and_takes_over(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, {TINY})
    scene = Scene(tmp_path, shelf)
    assert await scene.upgrade.run() == LARGE
    assert shelf.fetched == [LARGE]
    assert scene.llm.model == LARGE
    await asyncio.sleep(0)  # that is a task of its own
    assert scene.first.closed  # the wise one of this test is no slower
    assert scene.built[-1].read[-1].startswith(scene.settings.instructions)
    assert scene.capacity.alone is not None
    assert scene.capacity.wise is not None
    assert scene.capacity.wise.token_s < QUICK.token_s
    assert scene.capacity.wise_only
    assert set(load_speeds(scene.settings).speeds) == {TINY, LARGE}
    assert "1,117 MB" in scene.told[0]


async def test_what_cannot_be_fetched_makes_room_for_the_next(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, {TINY}, unreachable={LARGE})
    scene = Scene(tmp_path, shelf)
    assert await scene.upgrade.run() == SMALL
    assert any("could not be fetched" in text for text in scene.told)


async def test_without_any_index_the_quick_one_stays(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Shelf(tmp_path, {TINY}, unreachable={LARGE, SMALL}))
    assert await scene.upgrade.run() == TINY
    assert scene.llm.model == TINY
    assert not scene.first.closed


async def test_one_that_speaks_slower_than_speech_is_not_taken_and_not_tried_again(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, {TINY})
    scene = Scene(tmp_path, shelf, slow={LARGE})
    assert await scene.upgrade.run() == SMALL
    assert scene.built[0].closed
    assert choice.choose_among(scene.settings, shelf).better == (SMALL,)


async def test_what_an_earlier_start_measured_is_taken_at_once_even_beside_a_call(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, {TINY, SMALL})
    scene = Scene(tmp_path, shelf)
    kept = {TINY: QUICK, SMALL: LanguageModelSpeed(0.24, 0.2, 1 / 21), LARGE: LanguageModelSpeed(2.0, 2.5, 0.5)}
    keep_speeds(scene.settings, SpeedBook(kept, others_s(SPEEDS)))
    scene.calls = 1
    await scene.upgrade.take_known()
    assert scene.llm.model == SMALL
    assert await scene.upgrade.run() == SMALL
    assert scene.llm.model == SMALL
    assert not shelf.fetched


async def test_the_quick_one_answers_while_there_are_more_calls_than_the_wise_one_can_answer(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Shelf(tmp_path, {TINY, LARGE}))
    kept = {TINY: QUICK, LARGE: LanguageModelSpeed(0.4, 0.2, 1 / 11)}
    keep_speeds(scene.settings, SpeedBook(kept, others_s(SPEEDS)))
    await scene.upgrade.take_known()
    assert await scene.upgrade.run() == LARGE
    assert scene.capacity.calls(0) == calls_in_time(SPEEDS, 2)
    heard = {}
    for calls in range(1, scene.capacity.calls(0) + 1):
        scene.calls = calls
        said = [delta.text async for delta in scene.llm.stream(REQUEST, Ticket())]
        heard[calls] = said[0]
    assert heard[1] == LARGE
    assert heard[scene.capacity.calls(0)] == TINY
    assert not scene.first.closed
    # A caller alone is answered by the wise one, and that is not late for it.
    for _ in range(4):
        scene.capacity.answered(LATE * alone_s(SPEEDS) + 0.1)
    assert not scene.capacity.late()
    await scene.llm.close()
    assert scene.first.closed
    assert all(each.closed for each in scene.built)


async def test_a_machine_that_affords_none_fetches_none(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, {TINY})
    scene = Scene(tmp_path, shelf, first_s=0.2)
    scene.capacity.speeds = SLOW
    assert await scene.upgrade.run() == TINY
    assert not shelf.fetched
    assert [text.split(":")[0] for text in scene.told] == ["Wiser language models that this machine does not afford"]


async def test_one_that_seems_too_slow_is_measured_once_more(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Shelf(tmp_path, {TINY}), slow_at_first={LARGE})
    assert await scene.upgrade.run() == LARGE


async def test_nothing_is_loaded_while_there_is_a_call(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, {TINY})
    scene = Scene(tmp_path, shelf)
    scene.calls = 1
    running = asyncio.create_task(scene.upgrade.run())
    deadline = time.monotonic() + 20
    while not shelf.fetched and time.monotonic() < deadline:  # noqa: ASYNC110 - the fetch is in a thread
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert not scene.built
    scene.calls = 0
    assert await running == LARGE


async def test_a_reply_that_has_begun_is_finished_by_the_model_that_began_it(tmp_path: Path) -> None:
    first, second = Talker("first", 0.01), Talker("second")
    llm = ReplaceableLanguageModel(first)
    said = []
    async for delta in llm.stream(REQUEST, Ticket()):
        said.append(delta.text)
        if len(said) == 1:
            llm.replace(second)
            assert llm.model == "second"
            assert not first.closed
    assert "".join(said) == "first" + " it is" * 7
    await llm.close()
    assert first.closed
    assert second.closed


async def test_one_that_fails_makes_room_for_the_next_and_is_closed(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Shelf(tmp_path, {TINY}))

    def fails(talker: Talker) -> None:
        talker.warm = RuntimeError("out of memory") if talker.model == LARGE else None

    scene.as_built = fails
    assert await scene.upgrade.run() == SMALL
    assert scene.built[0].closed
    assert f"{LARGE} cannot be used: out of memory" in scene.told


async def test_one_of_an_earlier_start_that_fails_now_leaves_the_next_best(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Shelf(tmp_path, {TINY, SMALL, LARGE}))
    kept = {TINY: QUICK, SMALL: LanguageModelSpeed(0.15, 0.1, 1 / 30), LARGE: LanguageModelSpeed(0.2, 0.1, 1 / 21)}
    keep_speeds(scene.settings, SpeedBook(kept, others_s(SPEEDS)))

    def fails(talker: Talker) -> None:
        talker.warm = RuntimeError("out of memory") if talker.model == LARGE else None

    scene.as_built = fails
    await scene.upgrade.take_known()
    assert scene.llm.model == SMALL
    assert [each.closed for each in scene.built] == [True, False]


async def test_one_that_answers_with_a_single_token_is_not_taken_for_a_quick_one(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Shelf(tmp_path, {TINY, LARGE}, unreachable={SMALL}))

    def terse(talker: Talker) -> None:
        talker.words = ("Yes.",)

    scene.as_built = terse
    assert await scene.upgrade.run() == TINY
    assert LARGE not in load_speeds(scene.settings).speeds
    assert any("tells its speed" in text for text in scene.told)


async def test_a_call_that_comes_while_a_model_is_measured_has_the_machine_for_itself(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Shelf(tmp_path, {TINY, LARGE}), slow={LARGE})
    scene.as_built = lambda talker: talker.goes_on.clear()
    running = asyncio.create_task(scene.upgrade.run())
    async with asyncio.timeout(60):
        while not (scene.built and scene.built[0].heard):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.005)
    scene.calls = 1
    await asyncio.sleep(0.3)
    heard = scene.built[0].heard
    assert LARGE not in load_speeds(scene.settings).speeds
    await asyncio.sleep(0.5)
    assert scene.built[0].heard == heard == 1, "it was broken off, and does not begin anew beside the call"
    scene.as_built = lambda talker: None
    scene.built[0].goes_on.set()
    scene.calls = 0
    assert await running == SMALL
    assert LARGE in load_speeds(scene.settings).speeds, "measured behind the call"


async def test_how_many_the_wise_one_answers_follows_what_is_known_of_the_other_engines(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Shelf(tmp_path, {TINY, LARGE}))
    kept = {TINY: QUICK, LARGE: LanguageModelSpeed(0.4, 0.2, 1 / 18)}
    keep_speeds(scene.settings, SpeedBook(kept, others_s(SPEEDS)))
    await scene.upgrade.take_known()
    assert scene.capacity.most_wise == 1
    scene.calls = 2
    said = [delta.text async for delta in scene.llm.stream(REQUEST, Ticket())]
    assert said[0] == TINY
    # Measured again in a quiet minute.
    scene.capacity.speeds = replace(SPEEDS, stt_s=0.2)
    assert scene.capacity.most_wise >= 2
    said = [delta.text async for delta in scene.llm.stream(REQUEST, Ticket())]
    assert said[0] == LARGE


def test_speeds_are_kept(tmp_path: Path) -> None:
    settings = Settings(models_dir=tmp_path)
    assert load_speeds(settings) == SpeedBook()
    slower = LanguageModelSpeed(0.6, 0.3, 0.1)
    book = SpeedBook({TINY: QUICK}, 0.5).with_speed(LARGE, slower)
    keep_speeds(settings, book)
    assert load_speeds(settings) == book == SpeedBook({TINY: QUICK, LARGE: slower}, 0.5)
    for file in (tmp_path / "calibration").iterdir():
        file.write_text("{")
    assert load_speeds(settings) == SpeedBook()


def test_a_speed_that_is_none_is_measured_again(tmp_path: Path) -> None:
    """Kept by a version that took a reply of a single token for a speed."""
    settings = Settings(models_dir=tmp_path)
    keep_speeds(settings, SpeedBook({TINY: QUICK}, 0.5))
    (file,) = (tmp_path / "calibration").iterdir()
    kept = json.loads(file.read_text())
    kept["speeds"][LARGE] = {"first_s": 0.1, "clause_s": 0.0, "token_s": 0.0, "measured": True}
    file.write_text(json.dumps(kept))
    assert load_speeds(settings) == SpeedBook()
