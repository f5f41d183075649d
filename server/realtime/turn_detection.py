"""`turn_detection` of the Realtime API: as a client asks for it, as it is told, and as waits of the turn taking."""

from dataclasses import replace
from typing import Any

from pipeline.call.turn_taking.config import TurnTakingConfig
from server.realtime.session_schema import SemanticVad, ServerVad

Json = dict[str, Any]

EAGERNESS = {"low": (2.0, 8.0), "medium": (1.0, 4.0), "auto": (1.0, 4.0), "high": (0.75, 2.0)}
"""By how much the waits of the server's own turn taking grow or shrink, and the longest that they may become, s."""

_WAITS = ("complete_wait_s", "likely_wait_s", "unsure_wait_s", "incomplete_wait_s", "question_wait_s")
_LEAST_WAITS = ("unfinished_wait_s", "group_wait_s")


def merged(asked: ServerVad | SemanticVad, before: Json | None) -> Json:
    """The detection with what a client asks of it, everything named.

    Args:
        asked: by the client.
        before: as it was; counts where it is of the same type. None: there was none.
    """
    base: Json = {"type": asked.type, "create_response": True, "interrupt_response": True}
    if isinstance(asked, ServerVad):
        base |= {"threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500, "idle_timeout_ms": None}
    else:
        base |= {"eagerness": "auto"}
    kept_before = before if before and before["type"] == asked.type else {}
    named = asked.model_dump(exclude_unset=True)
    kept = {name: value for name, value in named.items() if value is not None or name == "idle_timeout_ms"}
    return {**base, **kept_before, **kept}


def turn_taking(config: TurnTakingConfig, detection: Json | None) -> TurnTakingConfig:
    """The turn taking of a call that follows a detection; `config` is the server's own."""
    if detection is None:
        return config
    if detection["type"] == "semantic_vad":
        return _eager(config, detection["eagerness"])
    return _after_silence(config, detection)


def _eager(config: TurnTakingConfig, eagerness: str) -> TurnTakingConfig:
    factor, longest = EAGERNESS[eagerness]
    waits = {name: min(getattr(config, name) * factor, longest) for name in (*_WAITS, *_LEAST_WAITS)}
    return replace(config, **waits)


def _after_silence(config: TurnTakingConfig, detection: Json) -> TurnTakingConfig:
    """Nothing but the length of the silence tells that a turn is over."""
    silence_s = max(detection["silence_duration_ms"] / 1000, config.early_silence_s)
    threshold = min(max(float(detection["threshold"]), 0.01), 0.99)
    idle_ms = detection["idle_timeout_ms"]
    return replace(
        config,
        **dict.fromkeys((*_WAITS, *_LEAST_WAITS), silence_s),
        patience_max_s=0.0,
        patience_step_s=0.0,
        speech_threshold=threshold,
        silence_threshold=min(config.silence_threshold, threshold * 0.7),
        pre_roll_s=detection["prefix_padding_ms"] / 1000,
        idle_prompt_s=idle_ms / 1000 if idle_ms else config.idle_prompt_s,
        idle_prompts=1_000_000 if idle_ms else config.idle_prompts,
    )
