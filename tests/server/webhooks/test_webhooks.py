"""Webhooks reach a real receiver, signed, in order and once, whoever of the two is down in between."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from persistence.ids import conversation_uuid
from server.observability.metrics import Metrics
from server.webhooks.receiver import Patience
from server.webhooks.webhooks import Webhooks
from tests.media.calls import until
from tests.server.webhooks.receiving import SECRET, receiving
from tests.serving import free_port

QUICK = Patience(timeout_s=10.0, first_s=0.01, longest_s=0.05, refused=3)


@asynccontextmanager
async def telling(url: str, folder: Path, metrics: Metrics | None = None) -> AsyncIterator[Webhooks]:
    webhooks = Webhooks((url,), SECRET, folder, metrics or Metrics(), patience=QUICK)
    await webhooks.open()
    try:
        yield webhooks
    finally:
        await webhooks.close()


async def test_a_message_comes_signed_with_its_type_time_and_data(tmp_path: Path) -> None:
    async with receiving() as hook, telling(hook.url, tmp_path) as webhooks:
        webhooks.tell("call.started", {"call_id": "call_1", "user_id": "Jürgen"})
        await until(lambda: bool(hook.taken))
    (told,) = hook.taken
    assert (told["type"], told["data"]) == ("call.started", {"call_id": "call_1", "user_id": "Jürgen"})
    assert told["timestamp"].endswith("+00:00")


async def test_what_is_not_taken_is_sent_again_under_the_same_id(tmp_path: Path) -> None:
    async with receiving() as hook, telling(hook.url, tmp_path) as webhooks:
        hook.answers = [500, 503, 302]
        webhooks.tell("call.started", {})
        webhooks.tell("call.ended", {})
        await until(lambda: len(hook.taken) == 2)
    assert hook.types == ["call.started", "call.ended"]
    assert len(hook.ids) == 5
    assert len(set(hook.ids[:4])) == 1
    # A redirect could lead to where no webhook may go.
    assert not hook.others


async def test_what_a_receiver_refuses_does_not_keep_the_rest_waiting(tmp_path: Path) -> None:
    metrics = Metrics()
    async with receiving() as hook, telling(hook.url, tmp_path, metrics) as webhooks:
        hook.answers = [400, 400, 400, 410]
        for event in ("call.started", "turn.completed", "call.ended"):
            webhooks.tell(event, {})  # type: ignore[arg-type]
        await until(lambda: bool(hook.taken))
    assert hook.types == ["call.ended"]
    assert metrics.registry.get_sample_value("morgan_webhooks_total", {"outcome": "given_up"}) == 2


async def test_a_restart_loses_none_and_doubles_none(tmp_path: Path) -> None:
    port, metrics = free_port(), Metrics()
    url = f"http://127.0.0.1:{port}/hook"
    async with telling(url, tmp_path) as webhooks:
        for number in range(20):
            webhooks.tell("turn.completed", {"number": number})
    async with receiving(port) as hook:
        async with telling(url, tmp_path, metrics) as webhooks:
            webhooks.tell("turn.completed", {"number": 20})
            # Whoever stops between the receiver's taking and its answer sends again.
            delivered = ("morgan_webhooks_total", {"outcome": "delivered"})
            await until(lambda: metrics.registry.get_sample_value(*delivered) == 21)
        async with telling(url, tmp_path) as webhooks:
            webhooks.tell("call.ended", {})
            await until(lambda: "call.ended" in hook.types)
    assert [told["data"]["number"] for told in hook.taken[:-1]] == list(range(21))


KILLED = """
import asyncio, os, sys
from pathlib import Path
from server.observability.metrics import Metrics
from server.webhooks.webhooks import Webhooks
async def main():
    webhooks = Webhooks((sys.argv[1],), sys.argv[2], Path(sys.argv[3]), Metrics())
    await webhooks.open()
    for number in range(5):
        webhooks.tell("turn.completed", {"number": number})
    os._exit(9)
asyncio.run(main())
"""


async def test_a_kill_in_the_same_moment_loses_none(tmp_path: Path) -> None:
    async with receiving() as hook:
        command = [sys.executable, "-c", KILLED, "http://127.0.0.1:9/hook", SECRET, str(tmp_path)]
        killed = await asyncio.to_thread(subprocess.run, command, timeout=120)
        assert killed.returncode == 9
        # The same receiver under the same URL, which is what its spool is known by.
        webhooks = Webhooks(("http://127.0.0.1:9/hook",), SECRET, tmp_path, Metrics(), patience=QUICK)
        await webhooks.open()
        webhooks._receivers[0].url = hook.url
        await until(lambda: len(hook.taken) == 5)
        await webhooks.close()
    assert [told["data"]["number"] for told in hook.taken] == list(range(5))


async def test_one_receiver_that_is_down_keeps_no_other_waiting(tmp_path: Path) -> None:
    async with receiving() as hook:
        webhooks = Webhooks((f"http://127.0.0.1:{free_port()}/", hook.url), SECRET, tmp_path, Metrics(), patience=QUICK)
        await webhooks.open()
        webhooks.tell("call.started", {})
        await until(lambda: bool(hook.taken))
        await webhooks.close()


async def test_only_what_was_asked_for_is_told(tmp_path: Path) -> None:
    async with receiving() as hook:
        webhooks = Webhooks((hook.url,), SECRET, tmp_path, Metrics(), events=("call.ended",), patience=QUICK)
        await webhooks.open()
        webhooks.tell("call.started", {})
        webhooks.tell("call.ended", {})
        await until(lambda: bool(hook.taken))
        await webhooks.close()
    assert hook.types == ["call.ended"]


async def test_a_test_message_tells_what_each_receiver_answered(tmp_path: Path) -> None:
    async with receiving() as hook:
        hook.answers = [403]
        webhooks = Webhooks((hook.url,), SECRET, tmp_path, Metrics(), patience=QUICK)
        ((url, refused),) = await webhooks.try_each()
        ((_, taken),) = await webhooks.try_each()
        await webhooks.close()
    assert (url, refused.problem, taken.taken) == (hook.url, "status 403 (Forbidden)", True)
    assert hook.types == ["webhook.test"]
    assert not (tmp_path / "webhooks").exists()


@pytest.fixture
def nobody(tmp_path: Path) -> Webhooks:
    return Webhooks((), "", tmp_path, Metrics())


async def test_without_receivers_nothing_is_kept(nobody: Webhooks, tmp_path: Path) -> None:
    await nobody.open()
    nobody.tell("call.started", {})
    await nobody.close()
    assert not (tmp_path / "webhooks").exists()


async def test_a_second_server_in_the_same_folder_sends_nothing_of_the_first(tmp_path: Path) -> None:
    async with receiving() as hook, telling(hook.url, tmp_path) as first, telling(hook.url, tmp_path) as second:
        second.tell("call.started", {})
        first.tell("call.ended", {})
        await until(lambda: bool(hook.taken))
    assert hook.types == ["call.ended"]


# Whom webhooks tell of, and for how long ------------------------------------------------------------------------------


def words_on_disk(folder: Path) -> set[str]:
    """Of two users, those whose words stand in a file."""
    files = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    # In quotation marks: three letters alone come in a random id now and then.
    return {user for user in ("ada", "eve") if any(f'"{user}"'.encode() in data for data in files)}


@pytest.mark.parametrize("on_disk", [True, False])
async def test_nobody_is_told_of_a_user_who_was_forgotten(
    tmp_path: Path, on_disk: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.webhooks.held_spool.SETTLE_S", 0.0)  # eve is told of by nobody either
    port = free_port()
    patience = Patience(timeout_s=10.0, first_s=3600.0, longest_s=3600.0)
    urls = (f"http://127.0.0.1:{port}/hook",)
    webhooks = Webhooks(urls, SECRET, tmp_path, Metrics(), patience=patience, on_disk=on_disk)
    await webhooks.open()
    try:
        for user, conversation in (("ada", "7e"), ("eve", "8a"), ("ada", "7f")):
            webhooks.tell("turn.completed", {"user_id": user, "conversation_id": conversation})
        sender = webhooks._receivers[0]
        # The first was tried, and is not to be tried again for an hour.
        await until(lambda: sender._sending is not None)
        assert (await webhooks.count("ada"), await webhooks.count("eve")) == (2, 1)
        assert words_on_disk(tmp_path) == ({"ada", "eve"} if on_disk else set())
        await webhooks.delete("ada", conversation_uuid("7f"))
        assert await webhooks.count("ada") == 1
        await webhooks.delete("ada")
        assert (await webhooks.count("ada"), await webhooks.count("eve")) == (0, 1)
        assert "ada" not in words_on_disk(tmp_path)
        await until(lambda: sender._sending is not None and sender._sending.of_user("eve"))
    finally:
        await webhooks.close()


async def test_what_was_delivered_stands_in_no_file(tmp_path: Path) -> None:
    async with receiving() as hook, telling(hook.url, tmp_path) as webhooks:
        for _ in range(3):
            webhooks.tell("turn.completed", {"user_id": "ada", "text": "marmalade"})
        await until(lambda: len(hook.taken) == 3)
        await until(lambda: words_on_disk(tmp_path) == set())


async def test_where_no_words_are_kept_webhooks_wait_in_memory_and_what_lay_on_disk_is_still_told(
    tmp_path: Path,
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/hook"
    async with telling(url, tmp_path) as webhooks:
        webhooks.tell("turn.completed", {"user_id": "ada"})
    assert words_on_disk(tmp_path) == {"ada"}
    held = Webhooks((url,), SECRET, tmp_path, Metrics(), patience=QUICK, on_disk=False)
    await held.open()
    try:
        assert words_on_disk(tmp_path) == set()
        held.tell("turn.completed", {"user_id": "eve"})
        async with receiving(port) as hook:
            await until(lambda: len(hook.taken) == 2)
        assert [each["data"]["user_id"] for each in hook.taken] == ["ada", "eve"]
        assert words_on_disk(tmp_path) == set()
    finally:
        await held.close()


async def test_what_is_told_at_the_end_of_a_server_without_words_on_disk_is_still_sent(tmp_path: Path) -> None:
    async with receiving() as hook:
        held = Webhooks((hook.url,), SECRET, tmp_path, Metrics(), patience=QUICK, on_disk=False)
        await held.open()
        for number in range(5):
            held.tell("call.ended", {"number": number})
        await held.close()
        assert len(hook.taken) == 5
