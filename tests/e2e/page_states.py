"""A walk through every state that the call page can be in, the same in Chromium and in Firefox."""

import json
from collections.abc import Awaitable, Callable

from tests.e2e.page_server import PageServer, StandInCall
from tests.e2e.tabs import Tab, escape, until, write
from tests.e2e.test_call_page_talk import added, playing, said, transcribed, truncated
from tests.e2e.test_page_microphone import HOOKS

Look = Callable[[str], Awaitable[None]]
"""Is told the name of each state while the page is in it."""

BLOCK = """(() => {
  const play = HTMLMediaElement.prototype.play;
  HTMLMediaElement.prototype.play = function () {
    return window.tapped ? play.call(this) : Promise.reject(new DOMException('no', 'NotAllowedError'));
  };
  document.getElementById('voice').autoplay = false;
})()"""

TROUBLES = {
    "microphone_taken": "opened.at(-1).track.dispatchEvent(new Event('mute'))",
    "microphone_gone": "window.refusing = 'NotFoundError', opened.at(-1).track.stop(),"
    " opened.at(-1).track.dispatchEvent(new Event('ended'))",
    "microphone_changed": "window.refusing = null, navigator.mediaDevices.dispatchEvent(new Event('devicechange'))",
    "audio_interrupted": "contexts.at(-1).suspend()",
}
"""What befalls a call, as the browser tells it, and the code of what the page says then; one follows from the other."""


def talk(call: StandInCall) -> None:
    """Lines of every kind."""
    call.send(added("u1", "user"), transcribed("u1", "How warm is it in Paris?"))
    call.send(added("a1", "assistant"), said("a1", "It is mild in Paris, about eighteen degrees."))
    call.send(playing("a1", "started"), truncated("a1", "It is mild"))
    stages = {"silence_wait": 120.0, "stt": 200.0, "llm_first_token": 80.0, "tts_first_audio": 60.0, "release": 10.0}
    call.send({"type": "morgan.latency", "item_id": "u1", "voice_to_voice_ms": 470, "stages": stages})
    failed = {"type": "transcription_error", "code": "unintelligible", "message": "No words could be made out"}
    kind = "conversation.item.input_audio_transcription.failed"
    call.send({"type": kind, "item_id": "u2", "content_index": 0, "error": failed, "transcript": "uh"})
    delta = {"type": "conversation.item.input_audio_transcription.delta", "item_id": "u3", "content_index": 0}
    call.send({**delta, "delta": "And in"}, {"type": "morgan.state", "state": "user_speaking"})


class Walk:
    """One page, on its way.

    Args:
        tab: the page, as it was opened.
        server: the stand-in that it came from.
        look: is told of each state.
    """

    def __init__(self, tab: Tab, server: PageServer, look: Look) -> None:
        self._tab = tab
        self._server = server
        self._look = look

    async def all(self) -> None:
        """From the first visit to the end."""
        await self._tab.evaluate(f"({HOOKS})()")
        await self._look("idle")
        await self._sheets()
        await self._refusals()
        await self._without_a_microphone()
        await self._call()
        await self._blocked()

    async def _open(self, sheet: str) -> None:
        await self._tab.click(f"#open-{sheet}")
        await until(self._tab, f"document.getElementById({json.dumps(sheet)}).open")

    async def _notice(self, code: str) -> None:
        await until(self._tab, f"notice.dataset.code === {json.dumps(code)} && !notice.hidden")
        await self._look(code)

    async def _state(self, state: str) -> None:
        await until(self._tab, f"app.dataset.state === {json.dumps(state)}")

    async def _hang_up(self) -> None:
        await self._tab.click("#hang-up")
        await self._state("ended")

    async def _sheets(self) -> None:
        await self._open("settings")
        await self._look("settings")
        await self._tab.click("#test-microphone")
        await until(self._tab, "Number(document.getElementById('test-level').ariaValueNow) > 20")
        await self._look("level test")
        await escape(self._tab)
        await self._open("history")
        await until(self._tab, "document.getElementById('history-words').innerText.includes('Nothing yet')")
        await self._look("history, empty")
        await escape(self._tab)
        self._server.memory.remember()
        await self._open("history")
        await until(self._tab, "document.querySelectorAll('#conversations .card').length === 2")
        await self._look("history")
        await write(self._tab, "#search", "nothing")
        await until(self._tab, "document.getElementById('history-words').innerText.includes('Nothing like it')")
        await self._look("search, nothing found")
        await write(self._tab, "#search", " at all")
        await until(self._tab, "document.getElementById('history-words').innerText.includes('2 found')")
        await self._look("search, found")
        await self._tab.click("#conversations .card")
        await until(self._tab, "document.querySelectorAll('.past .line').length === 3")
        saving = "document.querySelector('[role=group][aria-label=\"Save as\"]')"
        assert await self._tab.evaluate(f"{saving}.querySelectorAll('[data-format]').length") == 3
        await self._look("conversation")
        await self._tab.click("[data-recording]")
        await until(self._tab, "document.querySelector('.player')?.currentTime > 0")
        await self._tab.evaluate("document.querySelectorAll('.past .line')[1].click()")
        await until(self._tab, "document.querySelector('.past .line[aria-current]')?.dataset.role === 'assistant'")
        await self._look("replay")
        await self._tab.click("#delete")
        await until(self._tab, "!document.getElementById('delete-for-good').hidden")
        await self._look("delete, asked")
        await escape(self._tab)

    async def _refusals(self) -> None:
        self._server.refusal = (503, "at_capacity", "All 8 calls are taken.", {"Retry-After": "20"})
        await self._tab.click("#call")
        await self._notice("full")
        self._server.refusal = (503, "no_capacity", "This server is shutting down", {"Retry-After": "10"})
        await self._tab.click("#notice-action")
        await self._notice("restarting")
        self._server.refusal = (401, "unauthorized", "A key is needed.", {})
        await self._tab.click("#notice-action")
        await self._notice("unauthorized")
        self._server.refusal = None

    async def _without_a_microphone(self) -> None:
        for name, code in (
            ("NotFoundError", "not_found"),
            ("NotReadableError", "in_use"),
            ("NotAllowedError", "refused"),
        ):
            await self._tab.evaluate(f"void (window.refusing = {json.dumps(name)})")
            await self._tab.click("#call")
            await self._notice(f"microphone_{code}")
        await self._tab.click("#notice-write")
        await self._server.call(1)
        await until(self._tab, "app.dataset.state === 'listening' && document.getElementById('mute').hidden")
        await self._look("written to")
        await self._hang_up()
        await self._tab.evaluate("void (window.refusing = null)")

    async def _call(self) -> None:
        self._server.placing.clear()
        await self._tab.click("#call")
        await until(self._tab, "document.getElementById('hint').innerText.includes('not lost')")
        await self._look("connecting")
        self._server.placing.set()
        call = await self._server.call(2)
        await self._state("listening")
        await self._look("listening")
        talk(call)
        await self._state("user_speaking")
        await until(self._tab, "document.querySelectorAll('#transcript .line').length === 4")
        await self._tab.click("[data-role=latency] summary")
        await self._look("talk")
        for state in ("thinking", "speaking"):
            call.send({"type": "morgan.state", "state": state})
            await self._state(state)
            await self._look(state)
        call.send({"type": "error", "error": {"type": "server_error", "message": "The voice is not available."}})
        await self._notice("problem")
        await self._tab.click("#notice-close")
        call.send({"type": "morgan.state", "state": "listening"})
        for code, event in TROUBLES.items():
            await self._tab.evaluate(f"void ({event})")
            await self._notice(code)
        await self._tab.click("#notice-action")
        await until(self._tab, "contexts.at(-1).state === 'running'")
        call.send({"type": "morgan.shutdown"})
        await self._notice("server_restarts")
        await self._tab.click("#mute")
        await self._look("muted")
        await self._tab.click("#mute")
        await self._open("connection")
        await until(self._tab, "document.getElementById('figures').innerText.includes('Round trip')")
        await self._look("connection")
        await escape(self._tab)
        await self._push_to_talk()
        call.refuse_resume = 503
        await call.drop()
        await self._state("reconnecting")
        await self._look("reconnecting")
        await self._hang_up()
        await self._look("ended")

    async def _push_to_talk(self) -> None:
        await self._open("settings")
        await self._tab.click("#push-to-talk")
        await self._look("settings in a call")
        await escape(self._tab)
        await until(self._tab, "!document.getElementById('hold').hidden")
        await self._look("push to talk")
        await self._open("settings")
        await self._tab.click("#push-to-talk")
        await escape(self._tab)

    async def _blocked(self) -> None:
        await self._tab.evaluate(BLOCK)
        await self._tab.click("#call")
        await self._server.call(3)
        await self._notice("audio_blocked")
        await self._tab.evaluate("void (window.tapped = true)")
        await self._tab.click("#status")
        await until(self._tab, "notice.hidden")
        await self._hang_up()
        await self._server.stop()
        await self._tab.click("#call")
        await self._notice("unreachable")
