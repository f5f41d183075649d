"""A client event of each kind, as tests send and change them."""

from typing import Any

EVENTS: list[dict[str, Any]] = [
    {"type": "session.update", "session": {"type": "realtime", "instructions": "x", "output_modalities": ["text"]}},
    {
        "type": "session.update",
        "session": {
            "type": "realtime",
            "max_output_tokens": 20,
            "tools": [{"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}}],
            "tool_choice": {"type": "function", "name": "f"},
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": 24000},
                    "noise_reduction": {"type": "near_field"},
                    "transcription": {"model": "whisper-1", "language": "en", "prompt": "p", "keywords": ["k"]},
                    "turn_detection": {"type": "server_vad", "threshold": 0.5, "idle_timeout_ms": 6000},
                },
                "output": {"format": {"type": "audio/pcmu"}, "voice": "alloy", "speed": 1.1},
            },
        },
    },
    {"type": "session.update", "session": {"type": "transcription", "audio": {"input": {"turn_detection": None}}}},
    {"type": "input_audio_buffer.append", "audio": "AAAA"},
    {"type": "input_audio_buffer.commit"},
    {"type": "input_audio_buffer.clear"},
    {"type": "output_audio_buffer.clear"},
    {
        "type": "conversation.item.create",
        "previous_item_id": "root",
        "item": {"type": "message", "role": "user", "id": "i", "content": [{"type": "input_text", "text": "hello"}]},
    },
    {
        "type": "conversation.item.create",
        "item": {"type": "function_call", "name": "f", "call_id": "c", "arguments": "{}"},
    },
    {"type": "conversation.item.create", "item": {"type": "function_call_output", "call_id": "c", "output": "42"}},
    {"type": "conversation.item.retrieve", "item_id": "i"},
    {"type": "conversation.item.delete", "item_id": "i"},
    {"type": "conversation.item.truncate", "item_id": "i", "content_index": 0, "audio_end_ms": 100},
    {
        "type": "response.create",
        "response": {
            "instructions": "y",
            "output_modalities": ["text"],
            "max_output_tokens": "inf",
            "metadata": {"a": "b"},
            "tool_choice": "auto",
            "input": [{"type": "item_reference", "id": "i"}],
        },
    },
    {"type": "response.create"},
    {"type": "response.cancel"},
]
