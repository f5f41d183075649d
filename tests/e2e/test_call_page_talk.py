"""What the call page shows while a call goes well: events become words, levels and states."""

import asyncio
import re
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.e2e import page_fixtures
from tests.e2e.chromium import reach, visit
from tests.e2e.page_server import PageServer, StandInCall, eventually

browser, page, server = page_fixtures.browser, page_fixtures.page, page_fixtures.server

pytestmark = pytest.mark.asyncio(loop_scope="module")
Event = dict[str, Any]


async def place(page: Page, server: PageServer, number: int = 1) -> StandInCall:
    await page.click("#call")
    call = await server.call(number)
    await reach(page, "listening")
    return call


async def tab_to(page: Page, selector: str) -> None:
    """Reach a control by the keyboard alone."""
    for _ in range(20):
        await page.keyboard.press("Tab")
        if await page.locator(selector).evaluate("control => control === document.activeElement"):
            return
    pytest.fail(f"{selector} cannot be reached by the Tab key")


def added(item_id: str, role: str) -> Event:
    content = [{"type": "input_audio", "transcript": None}] if role == "user" else []
    item = {"id": item_id, "type": "message", "role": role, "content": content}
    return {"type": "conversation.item.added", "previous_item_id": None, "item": item}


def heard(item_id: str, delta: str) -> Event:
    kind = "conversation.item.input_audio_transcription.delta"
    return {"type": kind, "item_id": item_id, "content_index": 0, "delta": delta}


def transcribed(item_id: str, transcript: str) -> Event:
    kind = "conversation.item.input_audio_transcription.completed"
    return {"type": kind, "item_id": item_id, "content_index": 0, "transcript": transcript}


def said(item_id: str, delta: str) -> Event:
    kind = "response.output_audio_transcript.delta"
    return {"type": kind, "response_id": f"response_{item_id}", "item_id": item_id, "delta": delta}


def playing(item_id: str, change: str) -> Event:
    return {"type": f"output_audio_buffer.{change}", "response_id": f"response_{item_id}"}


def speech_started(item_id: str) -> Event:
    return {"type": "input_audio_buffer.speech_started", "item_id": item_id, "audio_start_ms": 0}


def truncated(item_id: str, transcript: str) -> Event:
    return {"type": "conversation.item.truncated", "item_id": item_id, "audio_end_ms": 900, "transcript": transcript}


async def test_the_offer_goes_out_before_any_candidate_and_the_candidates_follow(
    page: Page, server: PageServer
) -> None:
    call = await place(page, server)
    assert "a=candidate" not in call.request["sdp"]
    await eventually(lambda: call.candidates)
    assert set(call.candidates[0]) == {"candidate", "sdpMid", "sdpMLineIndex"}
    assert call.channel is not None
    assert call.channel.label == "oai-events"


async def test_the_same_browser_calls_with_the_same_user_id(page: Page, server: PageServer) -> None:
    first = await place(page, server)
    await page.reload()
    second = await place(page, server, 2)
    assert len(first.request["user_id"]) > 20
    assert second.request["user_id"] == first.request["user_id"]


async def test_words_appear_while_they_are_spoken_and_are_announced_when_they_are_final(
    page: Page, server: PageServer
) -> None:
    call = await place(page, server)
    line = page.locator(".line[data-role=user]")
    call.send(heard("u1", "What is the"), heard("u1", " whether"))
    await expect(line.locator(".line-text")).to_have_text("What is the whether")
    await expect(line).to_have_attribute("aria-hidden", "true")
    call.send(added("u1", "user"), transcribed("u1", "What is the weather?"))
    await expect(line.locator(".line-text")).to_have_text("What is the weather?")
    await expect(line).to_have_attribute("data-status", "final")
    await expect(page.get_by_role("log").get_by_text("What is the weather?")).to_be_visible()


async def test_interim_words_that_become_no_turn_disappear(page: Page, server: PageServer) -> None:
    call = await place(page, server)
    call.send(heard("u1", "mhm"))
    await expect(page.locator(".line")).to_have_count(1)
    call.send(speech_started("u2"))
    await expect(page.locator(".line")).to_have_count(0)


async def test_speech_that_stays_unclear_is_shown_with_what_was_made_of_it(page: Page, server: PageServer) -> None:
    call = await place(page, server)
    kind = "conversation.item.input_audio_transcription.failed"
    error = {"type": "transcription_error", "code": "unintelligible", "message": "No words could be made out"}
    for item_id, words in (("u1", "and so on and so on"), ("u2", "")):
        call.send(speech_started(item_id))
        call.send({"type": kind, "item_id": item_id, "content_index": 0, "error": error, "transcript": words})
    lines = page.locator(".line[data-role=user][data-status=failed] .line-text")
    await expect(lines).to_have_text(["Not understood: “and so on and so on”", "Not understood"])


async def test_the_voice_is_played_and_moves_its_meter_only_while_it_sounds(page: Page, server: PageServer) -> None:
    call = await place(page, server)
    level = "Number(document.getElementById('voice-level').ariaValueNow)"
    assert await page.evaluate(f"() => {level}") == 0
    assert call.tone is not None
    call.tone.loud = True
    await page.wait_for_function(f"() => {level} > 20")
    assert await page.evaluate("() => !document.getElementById('voice').paused")
    call.tone.loud = False
    await page.wait_for_function(f"() => {level} === 0")


async def test_the_states_that_the_server_tells_are_shown(page: Page, server: PageServer) -> None:
    call = await place(page, server)
    for state, words in [
        ("user_speaking", "Hearing you"),
        ("thinking", "Thinking"),
        ("speaking", "Speaking"),
        ("listening", "Listening"),
    ]:
        call.send({"type": "morgan.state", "state": state})
        await reach(page, state)
        await expect(page.locator("#status")).to_have_text(words)


async def test_without_morgans_own_events_the_states_follow_from_the_standard_ones(
    page: Page, server: PageServer
) -> None:
    call = await place(page, server)
    stopped = {"type": "input_audio_buffer.speech_stopped", "item_id": "u1", "audio_end_ms": 900}
    for event, state in [
        (speech_started("u1"), "user_speaking"),
        (stopped, "thinking"),
        (playing("a1", "started"), "speaking"),
        (playing("a1", "stopped"), "listening"),
    ]:
        call.send(event)
        await reach(page, state)


async def test_an_interrupted_reply_is_struck_through_from_where_nobody_heard_it(
    page: Page, server: PageServer
) -> None:
    call = await place(page, server)
    call.send(added("a1", "assistant"), said("a1", "It is mild in Paris, "), playing("a1", "started"))
    call.send(said("a1", "about eighteen degrees."), playing("a1", "cleared"), truncated("a1", "It is mild"))
    call.send(said("a1", " Late words."))
    line = page.locator(".line[data-role=assistant]")
    await expect(line).to_have_attribute("data-status", "interrupted")
    await expect(line.locator(".heard")).to_have_text("It is mild")
    await expect(line.locator("s")).to_have_text(" in Paris, about eighteen degrees.")
    await expect(line.get_by_text("interrupted")).to_be_visible()


async def test_a_reply_of_which_nothing_was_heard_disappears(page: Page, server: PageServer) -> None:
    call = await place(page, server)
    call.send(added("a1", "assistant"), said("a1", "It is mild."))
    await expect(page.locator(".line")).to_have_count(1)
    call.send(truncated("a1", ""))
    await expect(page.locator(".line")).to_have_count(0)


async def test_a_reply_is_final_once_it_was_played_to_its_end(page: Page, server: PageServer) -> None:
    call = await place(page, server)
    done = {"type": "response.done", "response": {"id": "response_a1", "status": "completed"}}
    call.send(playing("a1", "started"), said("a1", "Eighteen degrees."), done)
    line = page.locator(".line[data-role=assistant]")
    await expect(line).to_have_attribute("data-status", "interim")
    call.send(playing("a1", "stopped"))
    await expect(line).to_have_attribute("data-status", "final")


@pytest.mark.parametrize("latency_first", [True, False])
async def test_the_latency_of_a_turn_stands_under_its_reply(
    page: Page, server: PageServer, latency_first: bool
) -> None:
    call = await place(page, server)
    latency = {"type": "morgan.latency", "item_id": "a1", "voice_to_voice_ms": 343.6, "stages": {"llm_first_token": 74}}
    reply = said("a1", "Eighteen degrees.")
    call.send(*([latency, reply] if latency_first else [reply, latency]))
    shown = page.locator(".line[data-role=assistant] [data-role=latency]")
    await expect(shown.locator("summary")).to_have_text("344 ms")
    await shown.locator("summary").click()
    await expect(shown.locator(".latency-stage")).to_have_text(re.compile("Thinking.*74 ms"))


async def test_the_latency_of_a_turn_that_names_the_question_stands_under_the_reply_too(
    page: Page, server: PageServer
) -> None:
    call = await place(page, server)
    earlier = [added("u0", "user"), transcribed("u0", "Hello."), said("a0", "Hello.")]
    call.send(*earlier, added("u1", "user"), transcribed("u1", "How warm is it?"), said("a1", "Eighteen degrees."))
    call.send({"type": "morgan.latency", "item_id": "u1", "voice_to_voice_ms": 412, "stages": {}})
    await expect(page.locator("[data-item-id=a1] [data-role=latency] summary")).to_have_text("412 ms")
    await expect(page.locator("[data-role=latency]")).to_have_count(1)


async def test_mute_silences_what_the_server_hears(page: Page, server: PageServer) -> None:
    call = await place(page, server)
    await page.wait_for_function("() => Number(document.getElementById('mic-level').ariaValueNow) > 20")
    await eventually(lambda: call.heard_peak > 1000)
    await page.click("#mute")
    await expect(page.locator("#status")).to_have_text("Muted")
    await asyncio.sleep(1.0)
    call.heard_peak = 0
    await asyncio.sleep(2.5)
    assert call.heard_peak < 100
    await page.click("#mute")
    await eventually(lambda: call.heard_peak > 1000)


async def test_what_the_page_does_not_know_it_ignores(page: Page, server: PageServer) -> None:
    call = await place(page, server)
    assert call.channel is not None
    call.channel.send("not json")
    call.channel.send("[]")
    call.send({"type": "rate_limits.updated"}, {"type": "constructor"}, {"type": "morgan.state", "state": "dancing"})
    call.send(said("a1", "Still here."))
    await expect(page.locator(".line-text")).to_have_text("Still here.")
    await reach(page, "listening")


async def test_a_whole_call_works_from_the_keyboard(page: Page, server: PageServer) -> None:
    await tab_to(page, "#call")
    await page.keyboard.press("Enter")
    await server.call()
    await reach(page, "listening")
    await expect(page.locator("#hang-up")).to_be_focused()
    await page.keyboard.press("Shift+Tab")
    await page.keyboard.press("Space")
    await expect(page.locator("#mute")).to_have_attribute("aria-pressed", "true")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await reach(page, "ended")
    await expect(page.locator("#call")).to_be_focused()


async def test_calling_again_goes_on_with_the_conversation_until_a_new_one_is_asked_for(
    page: Page, server: PageServer
) -> None:
    first = await place(page, server)
    first.send(said("a1", "Goodbye."))
    await expect(page.locator(".line")).to_have_count(1)
    await page.click("#hang-up")
    second = await place(page, server, 2)
    assert second.request["conversation_id"] == f"conv_{first.id}"
    await expect(page.locator(".line")).to_have_count(1)
    await page.click("#hang-up")
    await page.click("#afresh")
    await expect(page.locator(".line")).to_have_count(0)
    third = await place(page, server, 3)
    assert "conversation_id" not in third.request


async def test_on_a_phone_nothing_is_cut_off(browser: Browser, server: PageServer) -> None:
    async with visit(browser, server.url, width=375, height=667) as page:
        call = await place(page, server)
        call.send(*(said(f"a{number}", "A reply that is long enough for two lines. " * 3) for number in range(8)))
        await expect(page.locator(".line")).to_have_count(8)
        assert await page.evaluate("() => document.documentElement.scrollWidth") == 375
        for control in ("#orb", "#status", "#mute", "#hang-up"):
            await expect(page.locator(control)).to_be_in_viewport(ratio=1)
        await expect(page.locator(".line").last).to_be_in_viewport(ratio=0.9)
