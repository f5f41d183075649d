"""What the stand-in remembers of earlier conversations: nothing, until a test lets it remember one."""

import io
import wave
from typing import Any

from aiohttp import web

Json = dict[str, Any]

RECORDING_S = 20


class PageMemory:
    """The routes of the history, with the same few words in every conversation.

    Attributes:
        conversations: those of `GET /api/conversations`, latest first.
    """

    def __init__(self) -> None:
        self.conversations: list[Json] = []

    def remember(self) -> None:
        """Two conversations, of which the latest was recorded."""
        for number, title in ((2, "How warm is it in Paris?"), (1, "Tell me about the harbour, and everything else")):
            self.conversations.append(
                {
                    "id": f"conversation-{number}",
                    "title": title,
                    "language": "en",
                    "started_at": f"2026-01-0{number}T10:00:00Z",
                    "updated_at": f"2026-01-0{number}T10:05:00Z",
                    "channel": "webrtc",
                    "message_count": 3,
                }
            )

    def add_to(self, app: web.Application) -> None:
        one = "/api/conversations/{id}"
        app.router.add_get("/api/conversations", self._list)
        app.router.add_get(one, self._show)
        app.router.add_get(f"{one}/messages", self._messages)
        app.router.add_get(f"{one}/recordings/{{name}}", self._recording)
        app.router.add_get("/api/memory/search", self._search)

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response({"conversations": self.conversations, "next_cursor": None})

    async def _show(self, request: web.Request) -> web.Response:
        found = next(each for each in self.conversations if each["id"] == request.match_info["id"])
        recording = {"name": "call", "call_id": "call", "started_at": found["started_at"], "bytes": 1}
        return web.json_response({**found, "recordings": [{**recording, "duration_s": RECORDING_S}]})

    async def _messages(self, request: web.Request) -> web.Response:
        found = next(each for each in self.conversations if each["id"] == request.match_info["id"])
        begin = found["started_at"][:-3]
        said = (
            ("user", "How warm is it in Paris?", False),
            ("assistant", "It is mild in Paris, about eighteen degrees, with a little wind", True),
            ("user", "And in Rome?", False),
        )
        messages = [
            {
                "id": f"message-{number}",
                "role": role,
                "content": content,
                "created_at": f"{begin}{5 * (number + 1):02}Z",
                "interrupted": interrupted,
                "latency": {},
                "metadata": {"duration_ms": 4000},
            }
            for number, (role, content, interrupted) in enumerate(said)
        ]
        return web.json_response({"messages": messages, "next_cursor": None})

    async def _recording(self, request: web.Request) -> web.Response:
        held = io.BytesIO()
        with wave.open(held, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(bytes(2 * 8000 * RECORDING_S))
        return web.Response(body=held.getvalue(), content_type="audio/wav")

    async def _search(self, request: web.Request) -> web.Response:
        found = [] if request.query["q"] == "nothing" else self.conversations
        results = [
            {
                "message_id": "message-0",
                "conversation_id": each["id"],
                "role": "user",
                "content": each["title"],
                "created_at": each["started_at"],
                "score": 0.5,
            }
            for each in found
        ]
        return web.json_response({"results": results})
