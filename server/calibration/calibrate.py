"""Measures this machine: how Whisper computes and on which window, and the speed of every engine."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog

from pipeline.audio import HEARING_RATE, Waveform
from pipeline.engines.protocols import EngineError, Engines
from pipeline.engines.speeds import measure_speeds
from pipeline.engines.stt.faster_whisper import FasterWhisper
from pipeline.engines.stt.runtime import Runtime
from pipeline.engines.stt.window_choice import DEFAULT_PADDING_S, PADDINGS_S
from pipeline.models import ModelStore
from pipeline.processor import this_machine
from server.calibration.computing import ComputingFigures, choose_computing
from server.calibration.profile import Profile, devices_of, engine_names, load_profile, save_profile
from server.calibration.speech_clips import speech_clips
from server.calibration.windows import WindowFigures, best_padding, compare_windows
from server.settings import Settings

QUICK_PADDINGS_S = PADDINGS_S[:2]
QUICK_CLIPS = 6
SHORTEST_S = 1.2
"""Of what is heard in the quick look: two words with no sentence around them ("in short") are misheard on any window,
and were two of the three words that had all of English heard on 8 s of silence."""

TIMED_CLIPS, TIMES = 6, 3
QUICK_TIMED_CLIPS, QUICK_TIMES = 2, 2

log = structlog.get_logger(__name__)


async def calibrated(settings: Settings, engines: Engines, announce: Callable[[], None] = lambda: None) -> Profile:
    """What was measured before on this machine, or a first quick look (5 to 20 s, kept).

    The engines are set by it.

    Args:
        settings: the effective ones.
        engines: in use by nobody yet.
        announce: called before something is measured.
    """
    profile = load_profile(settings)
    if profile is None or profile.engines != engine_names(engines):
        announce()
        profile = await calibrate(settings, engines, thorough=False)
        save_profile(settings, profile)
    await apply(profile, engines)
    return profile


async def calibrate(settings: Settings, engines: Engines, *, thorough: bool = True) -> Profile:
    """Measure; nobody else should use the engines meanwhile.

    Args:
        settings: the effective ones.
        engines: to be measured; those of other processes are left out.
        thorough: all windows over all recorded sentences, in place of the shortest over six short ones; ways to compute
            likewise.
    """
    await asyncio.gather(*(engine.warm_up() for engine in engines.all().values()))
    windows: list[WindowFigures] = []
    computing: tuple[ComputingFigures, ...] = ()
    padding, compute_type, threads = DEFAULT_PADDING_S, "", 1
    runtime: Runtime = "ctranslate2"
    if isinstance(engines.stt, FasterWhisper):
        clips = await asyncio.to_thread(speech_clips, ModelStore(settings.models_dir))
        clips = sorted(clips, key=len)
        if not thorough:
            clips = [clip for clip in clips if clip.size >= SHORTEST_S * HEARING_RATE][:QUICK_CLIPS]
        # First, because windows are judged by the words that come out of this.
        computing = await _choose_computing(settings, engines.stt, clips, thorough)
        compute_type, threads, runtime = engines.stt.compute_type, engines.stt.threads, engines.stt.runtime
        if engines.stt.device != "cpu":
            padding = engines.stt.window.padding_s
        elif clips:
            paddings = PADDINGS_S if thorough else QUICK_PADDINGS_S
            windows = await compare_windows(engines.stt, clips, paddings)
            padding = best_padding(windows)
    machine = this_machine().describe()
    found = (computing, tuple(windows))
    profile = Profile(
        machine,
        padding,
        compute_type,
        threads,
        *found,
        runtime=runtime,
        engines=engine_names(engines),
        devices=devices_of(engines),
    )
    await apply(profile, engines)
    return replace(profile, speeds=await measure_speeds(engines))


async def apply(profile: Profile, engines: Engines) -> None:
    """Let the engines work as the profile says; they are in use by nobody yet."""
    if not isinstance(engines.stt, FasterWhisper):
        return
    engines.stt.window.padding_s = profile.padding_s
    if not profile.compute_type:
        return
    try:
        await engines.stt.reload(profile.compute_type, profile.threads)
        await engines.stt.change_runtime(profile.runtime)
    except EngineError as error:
        log.warning("speech to text computes otherwise than measured", problem=str(error))


async def _choose_computing(
    settings: Settings, stt: FasterWhisper, clips: Sequence[Waveform], thorough: bool
) -> tuple[ComputingFigures, ...]:
    """Let speech to text compute as is best here, measured on clips of middling length."""
    count = TIMED_CLIPS if thorough else QUICK_TIMED_CLIPS
    first = max(0, len(clips) - count) // 2
    timed = clips[first : first + count]
    if stt.device != "cpu":
        return ()
    try:
        options = settings.engine_options.get(stt.name, {})
        wanted = options.get("compute_type", settings.stt_compute_type)
        runtime = options.get("runtime", settings.stt_runtime)
        return await choose_computing(stt, timed, TIMES if thorough else QUICK_TIMES, wanted, runtime=runtime)
    except EngineError as error:
        log.warning("speech to text computes as it did", problem=str(error))
        return ()
