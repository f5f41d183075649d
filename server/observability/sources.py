"""Metrics of what counts for itself: calls, media, lanes, engines, caches, journal. Read at each scrape."""

from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import Protocol

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from media.endpoint import MediaEndpoint
from persistence.memory import Memory
from pipeline.engines.protocols import Engine, Engines
from pipeline.engines.stt.transcript_doubts import Doubt
from pipeline.scheduling.cores import CORES, GPU_SLOTS
from pipeline.scheduling.lane_load import LaneLoad
from pipeline.scheduling.lanes import Lane
from pipeline.scheduling.thread_cpu import cpu_by_thread_name
from server.engines.watch import EngineWatch, Watches
from server.observability.metrics import COUNTED

MEDIA_COUNTERS = {
    "packets_received": "RTP packets accepted.",
    "packets_lost": "RTP packets that never came.",
    "packets_discarded": "RTP packets that came too late, twice or broken.",
    "fec_recovered": "Lost frames won back from the next packet.",
    "concealed": "Lost frames that were concealed.",
    "packets_sent": "RTP packets sent.",
    "bytes_received": "RTP payload received.",
    "bytes_sent": "RTP payload sent.",
    "srtp_early": "SRTP packets that came before the keys of the handshake.",
    "dtls_dropped": "DTLS records that found their queue full.",
}

JOURNAL_COUNTERS = ("recorded", "delivered", "refused", "lost", "failures")


class CountedCalls(Protocol):
    """The calls of a server, as far as they are counted."""

    @property
    def active(self) -> Sized:
        """Those that are open."""

    @property
    def capacity(self) -> int:
        """How many may be open now."""

    @property
    def endpoint(self) -> MediaEndpoint:
        """The media port that they share."""

    def counts(self) -> Mapping[str, int]:
        """What happened in all calls so far, by the names of `COUNTED`."""


class MemoryHolder(Protocol):
    """What opens memory."""

    @property
    def memory(self) -> Memory | None:
        """Memory; None while it is not open."""


def lane_load(engine: Engine) -> LaneLoad | None:
    """The load of an engine's own threads; None for one that has none."""
    lane = getattr(engine, "lane", None)
    load = lane.load if isinstance(lane, Lane) else getattr(engine, "load", None)
    return load if isinstance(load, LaneLoad) else None


class ServerCollector(Collector):
    """Asks the parts of one server.

    Args:
        engines: whose lanes count.
        memory: caches and journal.
        watches: of the engines.
        calls: open and past; None where none are taken.
    """

    def __init__(
        self, engines: Engines, memory: MemoryHolder, watches: Watches, calls: CountedCalls | None = None
    ) -> None:
        self._engines = engines
        self._calls = calls
        self._memory = memory
        self._watches = watches

    def collect(self) -> Iterable[Metric]:
        """Every family, as of now."""
        if self._calls is not None:
            yield from _of_calls(self._calls)
            yield from _of_media(self._calls.endpoint)
        yield from _of_lanes(self._engines.all())
        yield from _of_engines(self._watches)
        yield from _of_hearing(self._engines.all().get("stt"))
        yield from self._of_memory()

    def _of_memory(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("morgan_store_up", "Whether a store answers.", labels=["store"])
        memory = self._memory.memory
        for store in ("postgres", "redis"):
            part = getattr(memory, store) if memory else None
            up.add_metric([store], float(part is not None and part.up.is_set()))
        yield up
        if memory is None:
            return
        found = memory.figures()
        yield _lookups(found)
        yield from _journal(found)
        rest = GaugeMetricFamily("morgan_memory_figure", "Further counters and loads of memory.", labels=["figure"])
        for name, value in found.items():
            if not name.startswith(("outbox_", "cache_")):
                rest.add_metric([name], value)
        yield rest


def _of_calls(calls: CountedCalls) -> Iterator[Metric]:
    yield GaugeMetricFamily("morgan_calls_active", "Calls that are open.", len(calls.active))
    yield GaugeMetricFamily("morgan_calls_capacity", "Calls that may be open now.", calls.capacity)
    counts = calls.counts()
    for name, about in COUNTED.items():
        yield CounterMetricFamily(f"morgan_{name}", f"{about[0].upper()}{about[1:]}.", counts.get(name, 0))


def _of_media(endpoint: MediaEndpoint) -> Iterator[Metric]:
    totals = endpoint.totals()
    for name, about in MEDIA_COUNTERS.items():
        yield CounterMetricFamily(f"morgan_media_{name}", about, totals[name])
    delays = [stats.jitter_buffer_s for stats in endpoint.peer_stats() if stats.packets_received]
    jitters = [stats.jitter_s for stats in endpoint.peer_stats() if stats.packets_received]
    for name, values, about in (
        ("morgan_jitter_buffer_seconds", delays, "Delay that the jitter buffers of open calls add now."),
        ("morgan_jitter_seconds", jitters, "Interarrival jitter of open calls now."),
    ):
        family = GaugeMetricFamily(name, about, labels=["of"])
        family.add_metric(["mean"], sum(values) / len(values) if values else 0.0)
        family.add_metric(["max"], max(values, default=0.0))
        yield family
    dropped = CounterMetricFamily(
        "morgan_media_datagrams_dropped",
        "Datagrams from addresses that no ICE check has validated.",
        labels=["kind"],
    )
    stats = endpoint.stats()
    for kind, number in stats.datagrams_dropped.items():
        dropped.add_metric([kind], number)
    yield dropped
    yield CounterMetricFamily(
        "morgan_media_send_failures", "Datagrams that the kernel did not take.", stats.send_failures
    )
    yield CounterMetricFamily(
        "morgan_media_late_ticks", "Ticks of the 20 ms clock that came more than 20 ms late.", stats.late_ticks
    )
    yield GaugeMetricFamily("morgan_media_latest_tick_seconds", "The latest of all ticks.", stats.latest_tick_s)
    failures = CounterMetricFamily(
        "morgan_media_failures", "Exceptions of one peer that were kept from all others.", labels=["at"]
    )
    for at, number in stats.failures.items():
        failures.add_metric([at], number)
    yield failures


def _of_lanes(engines: Mapping[str, Engine]) -> Iterator[Metric]:
    loads = {role: load for role, engine in engines.items() if (load := lane_load(engine)) is not None}
    waiting = GaugeMetricFamily("morgan_lane_waiting", "Pieces of work in the queue.", labels=["lane"])
    running = GaugeMetricFamily("morgan_lane_running", "Pieces of work in hand.", labels=["lane"])
    jobs = CounterMetricFamily(
        "morgan_lane_jobs", "Pieces of work, by what became of them.", labels=["lane", "outcome"]
    )
    busy = CounterMetricFamily("morgan_lane_busy_seconds", "Time at work, all workers together.", labels=["lane"])
    cpu = CounterMetricFamily(
        "morgan_lane_cpu_seconds", "CPU time of a lane's threads, those of its model's library too.", labels=["lane"]
    )
    waited = CounterMetricFamily(
        "morgan_lane_wait_seconds", "Time in the queue, for a worker and a core, before work began.", labels=["lane"]
    )
    # Once for all: a look at each of a hundred threads takes 20 us.
    spent = cpu_by_thread_name()
    for lane, load in loads.items():
        waiting.add_metric([lane], load.waiting)
        running.add_metric([lane], load.running)
        for outcome in ("done", "dropped", "rejected"):
            jobs.add_metric([lane, outcome], getattr(load, outcome))
        busy.add_metric([lane], load.busy_s)
        if (seconds := load.cpu_s(spent)) is not None:
            cpu.add_metric([lane], seconds)
        waited.add_metric([lane], load.waited_s)
    yield from (waiting, running, jobs, busy, cpu, waited)
    yield GaugeMetricFamily("morgan_cores", "Cores that models may keep busy.", CORES.count)
    yield GaugeMetricFamily("morgan_cores_used", "Cores that models keep busy now.", CORES.used)
    yield GaugeMetricFamily("morgan_gpu_jobs", "Pieces of work on a GPU now, which keep no core busy.", GPU_SLOTS.used)


def _of_engines(watches: Mapping[str, EngineWatch]) -> Iterator[Metric]:
    up = GaugeMetricFamily("morgan_engine_up", "0 once an engine's last piece of work failed.", labels=["engine"])
    failures = CounterMetricFamily("morgan_engine_failures", "Pieces of work that failed.", labels=["engine"])
    works = CounterMetricFamily("morgan_engine_works", "Pieces of work done.", labels=["engine"])
    seconds = CounterMetricFamily(
        "morgan_engine_work_seconds", "Time until the first result of each, summed up.", labels=["engine"]
    )
    latency = GaugeMetricFamily(
        "morgan_engine_latency_seconds", "Median time until the first result of the last 64.", labels=["engine"]
    )
    for role, watch in watches.items():
        up.add_metric([role], float(watch.status == "ok"))
        failures.add_metric([role], watch.failures)
        works.add_metric([role], watch.works)
        seconds.add_metric([role], watch.seconds_total)
        median_ms = watch.latency_ms()
        if median_ms is not None:
            latency.add_metric([role], median_ms / 1000)
    yield from (up, failures, works, seconds, latency)


def _of_hearing(stt: Engine | None) -> Iterator[Metric]:
    """Where the engine checks its own words: windows heard, and what was doubted in them."""
    heard: Mapping[str, int] | None = getattr(stt, "heard", None)
    if heard is None:
        return
    windows = CounterMetricFamily(
        "morgan_stt_windows", "Windows of speech that were heard, first or again because of a doubt.", labels=["pass"]
    )
    windows.add_metric(["first"], heard["windows"])
    windows.add_metric(["again"], heard["again"])
    doubts = CounterMetricFamily("morgan_stt_doubts", "Transcripts of windows that were doubted.", labels=["doubt"])
    for doubt in Doubt:
        doubts.add_metric([doubt.value], heard[doubt.value])
    yield from (windows, doubts)


def _lookups(found: Mapping[str, float]) -> Metric:
    """Cached reads by tier; "redis" counts as Redis' own keyspace_hits and keyspace_misses do."""
    lookups = CounterMetricFamily(
        "morgan_cache_lookups", "Cached reads, by tier and result.", labels=["tier", "result"]
    )
    tiers = {
        "redis": ("cache_redis_hits", "cache_redis_misses"),
        "memory": ("store_memory_hits", "store_memory_misses"),
        "tts": ("tts_cache_hits", "tts_cache_misses"),
    }
    for tier, (hits, misses) in tiers.items():
        lookups.add_metric([tier, "hit"], found[hits])
        lookups.add_metric([tier, "miss"], found[misses])
    return lookups


def _journal(found: Mapping[str, float]) -> Iterator[Metric]:
    records = CounterMetricFamily("morgan_journal_records", "Records, by what became of them.", labels=["outcome"])
    for outcome in JOURNAL_COUNTERS:
        records.add_metric([outcome], found[f"outbox_{outcome}"])
    yield records
    yield GaugeMetricFamily("morgan_journal_pending", "Records that wait for PostgreSQL.", found["outbox_pending"])
    yield GaugeMetricFamily("morgan_journal_bytes", "Bytes that wait for PostgreSQL.", found["outbox_pending_bytes"])
    yield GaugeMetricFamily("morgan_journal_lag_seconds", "Age of the oldest that waits.", found["outbox_lag_s"])
    yield GaugeMetricFamily("morgan_journal_fill", "Share of the journal's bound in use, 0 to 1.", found["outbox_fill"])
