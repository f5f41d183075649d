"""Measures this machine: Whisper's window, and the speed of every engine."""

import asyncio
from collections.abc import Callable

import structlog

from pipeline.engines.faster_whisper import FasterWhisper
from pipeline.engines.protocols import Engines
from pipeline.engines.speeds import measure_speeds
from pipeline.engines.window_choice import DEFAULT_PADDING_S, PADDINGS_S
from pipeline.machine import this_machine
from pipeline.models import ModelStore
from server.calibration.profile import Profile, load_profile, save_profile
from server.calibration.speech_clips import speech_clips
from server.calibration.windows import WindowFigures, best_padding, compare_windows
from server.settings import Settings

QUICK_PADDINGS_S = (DEFAULT_PADDING_S,)
QUICK_CLIPS = 6

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
    if profile is None:
        announce()
        profile = await calibrate(settings, engines, thorough=False)
        save_profile(settings, profile)
    apply(profile, engines)
    return profile


async def calibrate(settings: Settings, engines: Engines, *, thorough: bool = True) -> Profile:
    """Measure; nobody else should use the engines meanwhile.

    Args:
        settings: the effective ones.
        engines: to be measured; those of other processes are left out.
        thorough: all windows over all recorded sentences, in place of the shortest over six.
    """
    await asyncio.gather(*(engine.warm_up() for engine in engines.all().values()))
    windows: list[WindowFigures] = []
    padding, compute_type = DEFAULT_PADDING_S, ""
    if isinstance(engines.stt, FasterWhisper):
        compute_type = engines.stt.compute_type
        clips = await asyncio.to_thread(speech_clips, ModelStore(settings.models_dir))
        clips = sorted(clips, key=len)[: None if thorough else QUICK_CLIPS]
        if clips:
            paddings = PADDINGS_S if thorough else QUICK_PADDINGS_S
            windows = await compare_windows(engines.stt, clips, paddings)
            padding = best_padding(windows)
    speeds = None
    try:
        apply(Profile("", padding, compute_type), engines)
        speeds = await measure_speeds(engines)
    except Exception as error:  # whatever an engine raises: Morgan serves without figures, and cautiously
        log.warning("engines not measured", problem=str(error))
    return Profile(this_machine().describe(), padding, compute_type, tuple(windows), speeds)


def apply(profile: Profile, engines: Engines) -> None:
    """Let the engines work as the profile says."""
    if isinstance(engines.stt, FasterWhisper):
        engines.stt.window.padding_s = profile.padding_s
