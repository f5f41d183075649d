"""A conversation as a file: JSON for programs, text for people, WebVTT beside a recording."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from persistence.values import Conversation, Message

SPEAKERS = {"user": "User", "assistant": "Morgan", "system": "System", "tool": "Tool"}
SECONDS_PER_WORD = 0.4


def as_json(conversation: Conversation, messages: Sequence[Message]) -> str:
    """Everything that is stored of it."""
    document = {**asdict(conversation), "messages": [asdict(message) for message in messages]}
    return json.dumps(document, ensure_ascii=False, indent=2, default=str)


def as_text(conversation: Conversation, messages: Sequence[Message]) -> str:
    """Who said what, and when."""
    head = f"{conversation.title or 'Conversation'}\n{conversation.started_at:%Y-%m-%d %H:%M:%S %Z}\n"
    lines = [f"[{message.created_at:%H:%M:%S}] {_line(message)}" for message in messages]
    return "\n".join([head, *lines]) + "\n"


def as_vtt(conversation: Conversation, messages: Sequence[Message]) -> str:
    """Cues in seconds since the conversation began (https://www.w3.org/TR/webvtt1/).

    A message was recorded when it had been said; `metadata.duration_ms` says how long that took. Where it is not
    known, the words are counted, and the cue begins no earlier than the one before it ended.
    """
    cues = ["WEBVTT"]
    before = 0.0
    for number, message in enumerate(messages, 1):
        end = max((message.created_at - conversation.started_at).total_seconds(), 0.0)
        spoken_ms = message.metadata.get("duration_ms")
        length = min(SECONDS_PER_WORD * max(len(message.content.split()), 1), max(end - before, 0.0))
        if isinstance(spoken_ms, (int, float)) and spoken_ms > 0:
            length = spoken_ms / 1000
        start, before = max(end - length, 0.0), end
        text = _escape(" ".join(message.content.split()))
        speaker = SPEAKERS[message.role]
        cues.append(f"{number}\n{_time(start)} --> {_time(max(end, start + 0.001))}\n<v {speaker}>{text}</v>")
    return "\n\n".join(cues) + "\n"


def file_name(conversation: Conversation, extension: str) -> str:
    """A name for the download: letters, digits and dashes only."""
    started: datetime = conversation.started_at
    return f"conversation-{started:%Y%m%d-%H%M%S}-{conversation.id.hex[:8]}.{extension}"


def _line(message: Message) -> str:
    return f"{SPEAKERS[message.role]}: {message.content}{' —' if message.interrupted else ''}"


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _time(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    hours, milliseconds = divmod(milliseconds, 3_600_000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}.{milliseconds % 1000:03}"
