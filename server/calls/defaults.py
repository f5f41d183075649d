"""What calls are like that do not say otherwise, from the settings."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pipeline.call.options import CallOptions
from pipeline.call.reply.voice_choice import VoiceChoice
from pipeline.engines.speeds import EngineSpeeds, Unmeasured
from pipeline.scheduling.cores import CORES
from pipeline.text.phrases import PHRASES, PhraseName, first_of
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
        greeting=settings.greeting or first_of("greeting", settings.phrases),
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
        tool_filler=settings.tool_filler,
        filler_after_s=settings.tool_filler_after_s,
        delay_apology=settings.delay_apology,
        delay_apology_after_s=settings.delay_apology_after_s,
        phrases=settings.phrases,
    )
    return with_speeds(told, speeds)


def with_speeds(told: CallOptions, speeds: EngineSpeeds | None) -> CallOptions:
    """The same with what is known of how long engines take here."""
    if speeds is not None and not isinstance(speeds.stt_s, Unmeasured):
        told = replace(told, transcript_s=speeds.stt_s, known_transcript_s=speeds.stt_s)
    if speeds is not None and not isinstance(speeds.voice, Unmeasured):
        told = replace(told, known_sound_s=speeds.voice.first_s)
    return told


def telephone_greeting(settings: Settings, defaults: CallOptions) -> dict[str, Any]:
    """The options of a call by which telephone lines are greeted.

    Args:
        settings: with what is said on them in place of the greeting of other calls, if anything.
        defaults: what calls are like that do not say otherwise.
    """
    text = settings.telephone_greeting or first_of("telephone_greeting", settings.phrases)
    if not text:
        return {"greeting": defaults.greeting}
    own = {
        code: {**{name: said for name, said in phrases.items() if name != "greeting"}, **_greeting(phrases)}
        for code, phrases in settings.phrases.items()
    }
    return {"greeting": text, "phrases": own}


def _greeting(phrases: Mapping[PhraseName, str]) -> dict[PhraseName, str]:
    return {"greeting": phrases["telephone_greeting"]} if "telephone_greeting" in phrases else {}


def fixed_phrases(settings: Settings, options: CallOptions, voices: VoiceChoice) -> list[tuple[str, str | None]]:
    """What a call may have to say that no model writes, and which language it is in, where that is known.

    Args:
        settings: with the languages that callers are expected to speak.
        options: of calls that do not say otherwise.
        voices: that they can speak with.
    """
    heard = [*settings.languages] or [options.language or voices.language or "en"]
    spoken = [voices.prepared_in(voices.speaking(code), code) for code in heard]
    on_lines = replace(options, **telephone_greeting(settings, options))
    said = [each.phrase(name, code) for each in (options, on_lines) for name in PHRASES for code in spoken]
    return list(dict.fromkeys(each for each in said if each[0]))
