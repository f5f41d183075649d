"""Prometheus metrics of one server: what its doors and calls report. `metrics_sources` adds what counts for itself.

One registry for each server object, so that several in a process do not add up. Labels take values from fixed sets.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from pipeline.call.events import CallEvent, CallFault, ReplyDone, TurnLatency
from server.observability.recent import AnsweredTurn, Recent

CONTENT_TYPE = CONTENT_TYPE_LATEST

LATENCY_BUCKETS = (
    0.025,
    0.05,
    0.075,
    0.1,
    0.15,
    0.2,
    0.25,
    0.3,
    0.35,
    0.4,
    0.45,
    0.5,
    0.6,
    0.7,
    0.85,
    1.0,
    1.5,
    2.5,
    5.0,
)
"""Seconds; finest around what is owed: 0.45 s voice to voice."""

CALL_BUCKETS = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)

REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

END_REASONS = frozenset(
    {
        "hangup",
        "lost",
        "shutdown",
        "connect_timeout",
        "displaced",
        "consent_expired",
        "dtls_closed",
        "bye",
        "failed",
        "idle",
        "internal_error",
    }
)
"""Anything else counts as "other"."""

COUNTED = {
    "turns": "committed turns of users",
    "replies": "replies begun",
    "interruptions": "replies that the user cut",
    "reopened": "committed turns that the user took up again",
    "dropped": "sounds that began like a turn and were no speech",
    "unclear": "turns in which somebody spoke and no words could be made out",
    "ducked": "replies made quieter because somebody may be speaking",
    "paused": "replies held because somebody speaks",
    "resumed": "held replies that went on",
    "starved": "replies that ran out of audio",
    "healed": "calls that the watchdog set right",
    "audio_dropped": "20 ms frames of users that the conversation had no room for",
}
"""Counters of the calls' machines, by name, and what they say."""

# A second time series for every counter tells when it was made, which nobody asks.
disable_created_metrics()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Figure:
    """One value as `/metrics` shows it."""

    name: str
    labels: Mapping[str, str]
    value: float


class Metrics:
    """The registry, and what calls and requests report into it.

    Attributes:
        registry: of this server; further collectors register themselves.
        recent: the last turns and samples of the load, one by one.
    """

    def __init__(self) -> None:
        self.recent = Recent()
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        registry = self.registry
        self._voice_to_voice = Histogram(
            "morgan_voice_to_voice_seconds",
            "From the user's last audible sample to the first frame of the reply.",
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self._stages = Histogram(
            "morgan_turn_stage_seconds",
            "Parts of voice to voice; they sum to the whole.",
            ["stage"],
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self._replies = Counter(
            "morgan_replies_done", "Replies that are over, by how they ended.", ["status"], registry=registry
        )
        self._faults = Counter("morgan_call_faults", "What went wrong in calls.", ["code"], registry=registry)
        self._opened = Counter("morgan_calls_opened", "Calls taken.", registry=registry)
        self._refused = Counter("morgan_calls_refused", "Calls refused for want of room.", registry=registry)
        self._ended = Counter("morgan_calls_ended", "Calls that are over, by why.", ["reason"], registry=registry)
        self._unreleased = Counter(
            "morgan_call_release_failures",
            "Parts of ended calls that were not freed cleanly.",
            ["part"],
            registry=registry,
        )
        self._swept = Counter(
            "morgan_peers_swept", "WebRTC peers closed because no call owned them.", registry=registry
        )
        self._lengths = Histogram(
            "morgan_call_duration_seconds", "Length of calls.", buckets=CALL_BUCKETS, registry=registry
        )
        self._requests = Counter(
            "morgan_http_requests", "HTTP requests.", ["service", "method", "route", "status"], registry=registry
        )
        self._request_seconds = Histogram(
            "morgan_http_request_seconds",
            "From a request's headers to the end of its response.",
            ["service", "method", "route"],
            buckets=REQUEST_BUCKETS,
            registry=registry,
        )
        self._webhooks = Counter(
            "morgan_webhooks",
            "Webhooks: delivered, failed (an attempt), given_up, lost (too many waited).",
            ["outcome"],
            registry=registry,
        )
        self._wrong_keys = Counter("morgan_http_wrong_keys", "Requests with a wrong key.", registry=registry)

    # Calls report

    def call_opened(self) -> None:
        """A call was taken."""
        self._opened.inc()

    def call_refused(self) -> None:
        """A call was refused because the server is full."""
        self._refused.inc()

    def call_ended(self, reason: str, seconds: float) -> None:
        """A call is over."""
        self._ended.labels(reason if reason in END_REASONS else "other").inc()
        self._lengths.observe(seconds)

    def release_failed(self, part: str) -> None:
        """Something that an ended call had was not freed cleanly.

        Args:
            part: "line", "actor", "memory" or "recording".
        """
        self._unreleased.labels(part).inc()

    def webhook(self, outcome: Literal["delivered", "failed", "given_up", "lost"]) -> None:
        """A webhook was sent, or was not."""
        self._webhooks.labels(outcome).inc()

    def peer_swept(self) -> None:
        """A WebRTC peer belonged to no call and was closed."""
        self._swept.inc()

    def call_event(self, event: CallEvent) -> None:
        """Something happened in a call."""
        match event:
            case TurnLatency():
                self._voice_to_voice.observe(event.voice_to_voice_ms / 1000)
                self.recent.answered(AnsweredTurn(time.monotonic(), event.voice_to_voice_ms, dict(event.stages)))
                for stage, ms in event.stages.items():
                    self._stages.labels(stage).observe(ms / 1000)
            case ReplyDone():
                self._replies.labels(event.status).inc()
            case CallFault():
                self._faults.labels(event.code).inc()

    # Doors report

    def request_done(self, service: str, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered.

        Args:
            service: "core", "llm", "tts" or "stt".
            method: upper case, one that a route has.
            route: its path with the parameters' names in it; "unknown" for what no route has.
            status: of the response; 499 where the client left before it.
            seconds: it took.
        """
        self._requests.labels(service, method, route, str(status)).inc()
        self._request_seconds.labels(service, method, route).observe(seconds)

    def wrong_key(self) -> None:
        """A request came with a key that is none."""
        self._wrong_keys.inc()

    # Read

    def text(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self.registry)

    def figures(self) -> Iterator[Figure]:
        """Everything as plain values, but for the buckets of histograms."""
        for family in self.registry.collect():
            for sample in family.samples:
                if not sample.name.endswith("_bucket"):
                    yield Figure(sample.name, sample.labels, sample.value)
