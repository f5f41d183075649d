"""Server-sent events as every streaming route writes them: `data: <json>` and a blank line.

Every event is one line of JSON, so that there is nothing left for a library to do: aiohttp-sse adds a ping task to each
stream, and names and ids of events, which OpenAI's clients do not read.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

EVENT_STREAM = "text/event-stream"

DONE = b"data: [DONE]\n\n"
"""Ends a stream, as OpenAI's does."""


async def open_events(request: web.Request) -> web.StreamResponse:
    """Begin a response that nothing on the way to the client may keep or hold back."""
    headers = {"Content-Type": EVENT_STREAM, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    return response


def event(data: Mapping[str, Any]) -> bytes:
    """One event."""
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"
