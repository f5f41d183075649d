"""What the call page says and does when something is missing, refused or lost."""

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect

from tests.e2e import page_fixtures
from tests.e2e.chromium import chromium, reach, visit
from tests.e2e.page_server import PageServer, StandInCall, eventually

page, server = page_fixtures.page, page_fixtures.server

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "a-key-of-more-than-24-characters"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium(extra=("--host-resolver-rules=MAP morgan.test 127.0.0.1",)) as browser:
        yield browser


async def place(page: Page, server: PageServer) -> StandInCall:
    await page.click("#call")
    call = await server.call()
    await reach(page, "listening")
    return call


async def see_notice(page: Page, code: str) -> None:
    await expect(page.locator("#notice")).to_have_attribute("data-code", code)
    await expect(page.get_by_role("alert")).to_be_visible()
    await expect(page.locator("#call")).to_be_visible()


async def test_hanging_up_tells_the_server_and_lets_go_of_the_microphone(page: Page, server: PageServer) -> None:
    await page.evaluate(
        """() => {
            const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
            navigator.mediaDevices.getUserMedia = async (wanted) => {
                const stream = await open(wanted);
                stream.getTracks()[0].stop = new Proxy(stream.getTracks()[0].stop, {
                    apply: (stop, track) => { window.letGo = true; return Reflect.apply(stop, track, []); },
                });
                return stream;
            };
        }"""
    )
    call = await place(page, server)
    await page.click("#hang-up")
    await reach(page, "ended")
    await asyncio.wait_for(call.hung_up.wait(), 60)
    await page.wait_for_function("() => window.letGo")


async def test_closing_the_page_hangs_up(page: Page, server: PageServer) -> None:
    call = await place(page, server)
    await page.goto("about:blank")
    await asyncio.wait_for(call.hung_up.wait(), 60)


async def test_hanging_up_before_the_server_has_answered_leaves_no_call_behind(page: Page, server: PageServer) -> None:
    release = asyncio.Event()

    async def hold(route: Route) -> None:
        await release.wait()
        await route.continue_()

    await page.route("**/api/calls", hold)
    try:
        async with page.expect_request("**/api/calls"):
            await page.click("#call")
        await page.click("#hang-up")
        await reach(page, "idle")
    finally:
        release.set()
    await eventually(lambda: server.calls)
    await asyncio.wait_for(server.calls[0].hung_up.wait(), 60)


async def test_a_lost_connection_is_replaced_and_the_call_goes_on(page: Page, server: PageServer) -> None:
    call = await place(page, server)
    call.send({"type": "morgan.state", "state": "thinking"})
    await reach(page, "thinking")
    call.refuse_resume = 503
    await call.drop()
    await reach(page, "reconnecting")
    call.refuse_resume = None
    await asyncio.wait_for(call.open.wait(), 10)
    await reach(page, "thinking")
    assert call.resumes == 1
    assert len(server.calls) == 1
    assert call.tone is not None
    call.tone.loud = True
    await page.wait_for_function("() => Number(document.getElementById('voice-level').ariaValueNow) > 20")


async def test_a_network_that_comes_back_is_taken_up_at_once(page: Page, server: PageServer) -> None:
    call = await place(page, server)
    await page.context.set_offline(True)
    await page.context.set_offline(False)
    await eventually(lambda: call.resumes)
    await reach(page, "listening")


async def test_after_two_minutes_without_a_connection_the_call_is_given_up(
    browser: Browser, server: PageServer
) -> None:
    async with visit(browser, server.url) as page:
        await page.clock.install()
        await page.reload()
        call = await place(page, server)
        call.refuse_resume = 503
        await call.drop()
        await reach(page, "reconnecting")
        await page.clock.run_for(110_000)
        await reach(page, "reconnecting")
        await expect(page.locator("#hint")).to_have_text(re.compile(r"\b(9|10) s left"))
        await page.clock.run_for(11_000)
        await reach(page, "ended")
        await see_notice(page, "lost")
        await asyncio.wait_for(call.hung_up.wait(), 60)


async def test_where_the_server_no_longer_knows_the_call_its_conversation_goes_on_in_a_new_one(
    page: Page, server: PageServer
) -> None:
    call = await place(page, server)
    call.refuse_resume = 404
    await call.drop()
    again = await server.call(2)
    await reach(page, "listening")
    assert again.request["conversation_id"] == f"conv_{call.id}"
    assert not call.hung_up.is_set()


async def test_a_server_that_goes_down_is_waited_for(page: Page, server: PageServer) -> None:
    call = await place(page, server)
    call.send(
        {"type": "output_audio_buffer.started", "response_id": "r"}, {"type": "morgan.call.ended", "reason": "shutdown"}
    )
    call.refuse_resume = 503
    await reach(page, "reconnecting")
    await expect(page.locator("#hint")).to_contain_text("s left")
    # The one that follows goes on with the same call.
    call.refuse_resume = None
    await reach(page, "listening", "speaking")
    assert (call.resumes, len(server.calls)) == (1, 1)


async def test_a_server_that_comes_back_without_the_call_gets_a_new_one(page: Page, server: PageServer) -> None:
    call = await place(page, server)
    heard = "conversation.item.input_audio_transcription.completed"
    call.send({"type": heard, "item_id": "item_1", "content_index": 0, "transcript": "Good evening."})
    await expect(page.locator("#transcript")).to_contain_text("Good evening.")
    call.send({"type": "morgan.call.ended", "reason": "shutdown"})
    call.refuse_resume, server.refusal = 503, (503, "draining", "This server is shutting down", {})
    await reach(page, "reconnecting")
    call.refuse_resume, server.refusal = 404, None
    again = await server.call(2)
    await reach(page, "listening", "speaking")
    assert again.request["conversation_id"] == f"conv_{call.id}"
    await expect(page.locator("#transcript")).to_contain_text("Morgan was restarted")


async def test_a_restart_is_told_before_it_comes_and_forgotten_once_it_is_over(page: Page, server: PageServer) -> None:
    call = await place(page, server)
    call.send({"type": "morgan.shutdown", "within_s": 30.0, "resumable": True})
    await expect(page.locator("#notice")).to_have_attribute("data-code", "server_restarts")
    call.send({"type": "morgan.call.ended", "reason": "shutdown"})
    await eventually(lambda: call.resumes == 1, timeout=60)
    await reach(page, "listening", "speaking")
    await expect(page.locator("#notice")).to_be_hidden()


async def test_when_morgan_ends_the_call_the_page_says_why(page: Page, server: PageServer) -> None:
    call = await place(page, server)
    call.send({"type": "morgan.call.ended", "reason": "turned_off"})
    await reach(page, "ended")
    await see_notice(page, "turned_off")
    await expect(page.locator("#notice-text")).to_contain_text("turned off")


async def test_a_problem_during_the_call_is_shown_and_the_call_goes_on(page: Page, server: PageServer) -> None:
    call = await place(page, server)
    call.send({"type": "error", "error": {"type": "server_error", "message": "The voice is not available."}})
    await expect(page.locator("#notice-text")).to_have_text("The voice is not available.")
    await reach(page, "listening")
    call.send({"type": "response.created", "response": {"id": "r1"}})
    await expect(page.locator("#notice")).to_be_hidden()


async def test_a_full_server_says_when_to_try_again(page: Page, server: PageServer) -> None:
    server.refusal = (503, "at_capacity", "All 8 calls are taken.", {"Retry-After": "20"})
    await page.click("#call")
    await see_notice(page, "full")
    await expect(page.locator("#notice-text")).to_have_text("All 8 calls are taken. Try again in 20 seconds.")
    server.refusal = None
    await page.click("#notice-action")
    await reach(page, "listening")
    await expect(page.locator("#notice")).to_be_hidden()


async def test_any_other_refusal_shows_the_words_of_the_server(page: Page, server: PageServer) -> None:
    server.refusal = (422, "invalid_offer", "The offer has no audio.", {})
    await page.click("#call")
    await see_notice(page, "invalid_offer")
    await expect(page.locator("#notice-text")).to_have_text("The offer has no audio.")


async def test_a_server_that_is_gone_is_called_unreachable(page: Page, server: PageServer) -> None:
    await server.stop()
    await page.click("#call")
    await see_notice(page, "unreachable")


async def test_a_key_is_asked_for_kept_in_the_tab_and_sent(browser: Browser) -> None:
    async with PageServer(api_key=KEY) as server, visit(browser, server.url) as page:
        await page.click("#call")
        await see_notice(page, "unauthorized")
        await expect(page.locator("#key")).to_be_focused()
        await page.keyboard.type("wrong")
        await page.keyboard.press("Enter")
        await expect(page.locator("#notice-title")).to_have_text("That key was not accepted")
        await page.fill("#key", KEY)
        await page.keyboard.press("Enter")
        await reach(page, "listening")
        assert await page.evaluate("() => Object.values(sessionStorage)") == [KEY]
        assert KEY not in await page.evaluate("() => Object.values(localStorage)")
        await page.click("#hang-up")
        await asyncio.wait_for(server.calls[0].hung_up.wait(), 60)


async def test_a_refused_microphone_is_explained(server: PageServer) -> None:
    async with chromium(allow=False) as strict, visit(strict, server.url) as page:
        await page.click("#call")
        await see_notice(page, "microphone_refused")
        assert server.calls == []


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("NotFoundError", "microphone_not_found"),
        ("NotReadableError", "microphone_in_use"),
        ("UnheardOfError", "microphone_failed"),
    ],
)
async def test_a_microphone_that_does_not_start_is_explained(page: Page, name: str, code: str) -> None:
    await page.evaluate(
        "name => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', name)) }", name
    )
    await page.click("#call")
    await see_notice(page, code)


async def test_an_insecure_address_is_explained_before_anybody_presses_the_button(
    browser: Browser, server: PageServer
) -> None:
    async with visit(browser, server.url.replace("localhost", "morgan.test")) as page:
        await see_notice(page, "insecure_context")
        await page.click("#call")
        await see_notice(page, "insecure_context")
