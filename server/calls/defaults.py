"""What calls are like that do not say otherwise, from the settings."""

from dataclasses import replace

from pipeline.call.options import CallOptions
from pipeline.engines.speeds import EngineSpeeds, Unmeasured
from pipeline.scheduling.cores import CORES
from pipeline.text.languages import APOLOGIES, DELAYS, UNCLEAR, phrase_in
from pipeline.tools.toolbox import NO_TOOLS, Toolbox
from server.settings import Settings

LOOK_AHEAD_CORES = 4
"""Cores from which calls transcribe all the time while somebody speaks. On two, what is begun in vain stands in the way
of the words that an answer waits for: half of the answers come in 0.3 s there, the other half in 0.9 s."""


def call_options(settings: Settings, tools: Toolbox = NO_TOOLS, speeds: EngineSpeeds | None = None) -> CallOptions:
    """What calls are like that do not say otherwise."""
    told = CallOptions(
        language=settings.language,
        expected_language=settings.expected_language,
        instructions=settings.instructions,
        greeting=settings.greeting,
        idle_prompt=settings.idle_prompt,
        apology=settings.apology,
        farewell=settings.farewell,
        shutdown_prompt=settings.shutdown_prompt,
        unclear_prompt=settings.unclear_prompt,
        unclear_prompts=settings.unclear_prompts,
        max_tokens=settings.llm_max_tokens,
        short_replies=settings.short_replies,
        temperature=settings.llm_temperature,
        interim=settings.interim_transcripts,
        look_ahead=settings.speculate and CORES.count >= LOOK_AHEAD_CORES,
        speculate=settings.speculate,
        turn_taking=settings.turn_taking,
        tools=tools,
        record_inputs=settings.record_inputs == "always",
        filler=settings.tool_filler,
        filler_after_s=settings.tool_filler_after_s,
        delay_apology=settings.delay_apology,
        delay_apology_after_s=settings.delay_apology_after_s,
    )
    return replace(told, transcript_s=transcript_s(speeds, told.transcript_s))


def transcript_s(speeds: EngineSpeeds | None, otherwise: float) -> float:
    """Seconds that a transcript of a question takes here, or what is taken for it where nobody knows."""
    return otherwise if speeds is None or isinstance(speeds.stt_s, Unmeasured) else speeds.stt_s


def fixed_phrases(settings: Settings, options: CallOptions) -> list[str | tuple[str, str | None]]:
    """What a call may have to say that no model writes; with a language where it is in one of several."""
    fixed = [
        options.greeting,
        settings.telephone_greeting,
        options.farewell,
        options.shutdown_prompt,
        options.idle_prompt,
        options.filler,
    ]
    own = ((UNCLEAR, options.unclear_prompt), (APOLOGIES, options.apology), (DELAYS, options.delay_apology))
    return [*fixed, *{phrase_in(phrases, text, code) for phrases, text in own for code in ("", *settings.languages)}]
