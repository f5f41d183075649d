"""Which voice is meant by a name: an id of a voice that is loaded, or a name that clients of others know."""

from collections.abc import Sequence

from pipeline.engines.protocols import Voice
from server.http.errors import ApiError

OPENAI_VOICES = (
    "alloy",
    "ash",
    "ballad",
    "cedar",
    "coral",
    "echo",
    "fable",
    "marin",
    "nova",
    "onyx",
    "sage",
    "shimmer",
    "verse",
)
"""https://platform.openai.com/docs/guides/text-to-speech#voice-options"""

CSM = "csm-streaming"
"""The voice of the CSM engine; where that is not loaded the default voice speaks in its place."""

ALIASES = frozenset({*OPENAI_VOICES, CSM})


def resolve_voice(wanted: str | None, voices: Sequence[Voice], default: str) -> str:
    """The id of the voice that speaks.

    A name of OpenAI's goes to its namesake ("af_nova" for "nova") where there is one, and to the default otherwise.

    Args:
        wanted: what the client asked for; None, "" and "default" are the default.
        voices: those that are loaded.
        default: the id of one of them.

    Raises:
        ApiError: 400 naming the known ones.
    """
    if wanted is None or wanted in ("", "default"):
        return default
    known = [voice.id for voice in voices]
    if wanted in known:
        return wanted
    if wanted in ALIASES:
        return next((voice for voice in known if voice.endswith(f"_{wanted}")), default)
    listed = ", ".join(["default", *known, *sorted(ALIASES)])
    raise ApiError(400, "unknown_voice", f"There is no voice {wanted!r}; known are {listed}", {"known": known})
