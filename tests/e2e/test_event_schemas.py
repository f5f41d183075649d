"""Every event that sessions send passes openai-python's types (`Talk` looks at each) and agents-realtime's schemas.

What does not pass those is dropped by that client without a word. The scripts reach each kind of event.
"""

import asyncio
import json
from pathlib import Path

from pipeline.call.inputs import KeyPressed
from pipeline.engines.protocols import ToolCall
from tests.docs.test_realtime_page import rows
from tests.e2e.npm_clients import packages, run_in_node
from tests.server.realtime.talking import Say, Talk
from tests.server.realtime.test_mcp_tools import CALL, answer, asked_for_approval, respond, session

QUESTION = Say(1.0, 2.5, "What is the weather in Paris?")

STOP = Say(5.0, 6.5, "Stop, that is enough, thank you.")

TOOL = {"type": "function", "name": "weather", "description": "The weather.", "parameters": {"type": "object"}}

UNKNOWN_TO_AGENTS = {
    "input_audio_buffer.timeout_triggered",
    "input_audio_buffer.dtmf_event_received",
    "response.mcp_call.failed",
}
"""It passes them on as they are: it has no schemas for them."""


def talks() -> list[Talk]:
    """Conversations in which everything happens that sessions tell of."""
    spoken, played = Talk(QUESTION, STOP), Talk(QUESTION, STOP, over="webrtc")
    for talk in (spoken, played):
        talk.run(16)
    written = Talk()
    written.update(output_modalities=["text"])
    item = written.type("Hello.")
    written.say("response.create")
    written.run(5)
    written.say("conversation.item.retrieve", item_id=item)
    written.say("conversation.item.delete", item_id=item)
    written.say("response.cancel")
    calling = Talk()
    calling.update(tools=[TOOL])
    calling.call.calls = (ToolCall("call_1", "weather", "{}"),)
    calling.type("What is the weather?")
    calling.say("response.create")
    calling.run(5)
    truncated = Talk(QUESTION).run(16)
    reply = truncated.all("response.done")[-1]["response"]["output"][0]["id"]
    truncated.say("conversation.item.truncate", item_id=reply, content_index=0, audio_end_ms=100)
    pushed = Talk(QUESTION)
    pushed.turn_detection(None)
    pushed.run(3)
    pushed.say("input_audio_buffer.commit")
    pushed.say("input_audio_buffer.clear")
    pushed.run(3)
    idle = Talk(QUESTION)
    idle.turn_detection({"type": "server_vad", "idle_timeout_ms": 5000})
    idle.run(40)
    running = Talk(
        Say(1.0, 9.0, "I would like to know what the weather will be like in Paris on the day after tomorrow")
    )
    failed = Talk(QUESTION, fail=frozenset({"stt"}))
    return [spoken, played, written, calling, truncated, pushed, idle.run(0), running.run(12), failed.run(6)]


def keys() -> Talk:
    """A telephone's keys."""
    talk = Talk(over="webrtc").run(1)
    talk.call.post(KeyPressed("5"))
    return talk.run(20)


async def tool_talks() -> list[Talk]:
    """Conversations with an MCP server: it is called, and may not be."""
    called = await session()
    called.call.calls = (CALL,)
    respond(called)
    refused, request_id = await asked_for_approval()
    answer(refused, request_id, False)
    refused.run(10)
    return [called, refused]


async def test_every_kind_of_event_passes_both_clients_schemas(repository: Path, tmp_path: Path) -> None:
    told = [event for talk in [*talks(), keys(), *await tool_talks()] for event in talk.told]
    events = tmp_path / "events.json"
    events.write_text(json.dumps(told))
    schemas = packages() / "node_modules/@openai/agents-realtime/dist/openaiRealtimeEvents.mjs"
    generic = await asyncio.to_thread(
        run_in_node,
        tmp_path,
        """
        const fs = await import('node:fs');
        const { parseRealtimeEvent } = await import(schemas);
        const events = JSON.parse(fs.readFileSync(file));
        return events.filter((event) => parseRealtimeEvent({ data: JSON.stringify(event) }).isGeneric);
        """,
        schemas=str(schemas),
        file=str(events),
    )
    assert {event["type"] for event in generic} == UNKNOWN_TO_AGENTS, generic[:3]
    server_events = {name for name in rows(repository) if name in {event["type"] for event in told}}
    page = (repository / "docs" / "realtime.md").read_text()
    table = page[page.index("## Server events") :]
    first = [line.split("|")[1] for line in table.splitlines() if line.startswith("|")]
    lacking = {name for name in rows(repository) if any(f"`{name}`" in cell for cell in first)} - server_events
    # That takes a server that is not there (tests/server/realtime/test_mcp_tools.py).
    assert lacking == {"mcp_list_tools.failed"}
