"""What requests that begin a call have in common: the registry, the voice and the conversation that they ask for."""

import asyncio
from typing import Any, Protocol

from aiohttp import web

from server.calls.call import Call, CallIdentity, CallOverError
from server.calls.handed_over import HandedCall
from server.calls.registry import CallRegistry
from server.calls.webrtc_line import open_webrtc
from server.conversations.beginnings import Beginning, begin_for, language_options, preferred
from server.http.errors import ApiError
from server.http.rate_limits import client_of
from server.identity.principal import Principal, principal_of
from server.memory.door import MEMORY

FIXABLE = ("instructions", "voice", "language")
"""Options of a call that a token can say, beside which conversation it is."""

REGISTRY: web.AppKey[CallRegistry] = web.AppKey("registry", CallRegistry)


def registry(request: web.Request) -> CallRegistry:
    """The calls of this process."""
    return request.app[REGISTRY]


class CallWishes(Protocol):
    """How a caller wants a call; None is how the server does it."""

    @property
    def language(self) -> str | None:
        """ISO 639 code; "" to listen for it, whatever the server expects."""

    @property
    def voice(self) -> str | None:
        """A voice id, or "default"."""

    @property
    def instructions(self) -> str | None:
        """How Morgan should be."""


async def wanted_call(
    request: web.Request, user_id: str, conversation_id: str | None, wishes: CallWishes
) -> tuple[Beginning, dict[str, Any]]:
    """What a new call begins with, and its options.

    What the caller's token fixes goes before what the caller wishes, and that before the user's preferences.

    Raises:
        ApiError: 400 unknown voice, 404 somebody else's conversation, 422 "last" of nobody.
    """
    return await begun_by(registry(request), principal_of(request), user_id, conversation_id, wishes)


def fixed_options(calls: CallRegistry, principal: Principal) -> dict[str, Any]:
    """Options of a call that a token says, and their names as `fixed`.

    Raises:
        ApiError: 400 unknown voice.
    """
    fixed = {name: principal.options[name] for name in FIXABLE if name in principal.options}
    if "voice" in fixed:
        fixed["voice"] = _known_voice(calls, fixed["voice"])
    return {**fixed, "fixed": tuple(fixed)}


async def begun_by(
    calls: CallRegistry, principal: Principal, user_id: str, conversation_id: str | None, wishes: CallWishes
) -> tuple[Beginning, dict[str, Any]]:
    """`wanted_call` for whoever comes in without a request.

    Args:
        calls: of this process.
        principal: who opens the call.
        user_id: whose it is.
        conversation_id: to go on with; None for a new one.
        wishes: how it is to be.

    Raises:
        ApiError: as `wanted_call`.
    """
    fixed = principal.options
    conversation_id = fixed.get("conversation_id", conversation_id)
    instructions = fixed.get("instructions", wishes.instructions)
    voice = fixed.get("voice", wishes.voice)
    options: dict[str, Any] = {"user_id": user_id}
    if instructions is not None:
        options["instructions"] = instructions
    if voice is not None:
        options["voice"] = _known_voice(calls, voice)
    memory = calls.memory.memory
    beginning, preferences = await asyncio.gather(
        begin_for(memory, user_id, conversation_id),
        preferred(memory, user_id, [voice.id for voice in calls.engines.tts.voices]),
    )
    options["fixed"] = tuple(name for name in FIXABLE if name in fixed)
    language = fixed.get("language", wishes.language)
    options |= language_options(language, preferences.pop("language", None), beginning.language)
    return beginning, {**preferences, **options}


async def taken_over(request: web.Request, handed: HandedCall, resume_token: str, offer: str) -> tuple[Call, str]:
    """Go on with a call that another process has left, on a new connection; the call and the SDP answer.

    Words of its user that were not answered any more are answered now.

    Raises:
        CallOverError: somebody else has taken it up meanwhile.
        CallsFullError, InvalidOfferError, ApiError: as a new call; it can be tried again.
    """
    calls, client = registry(request), client_of(request)
    calls.check(client)
    beginning = await begin_for(request.app[MEMORY].memory, handed.user_id, handed.conversation_id)
    if calls.handed_over.take(handed.call_id) is None:
        raise CallOverError("the call goes on elsewhere")
    options: dict[str, Any] = {**handed.options, "user_id": handed.user_id, "greeting": "", "owed_reply": True}
    if options["voice"] not in [voice.id for voice in calls.engines.tts.voices]:
        options["voice"] = None
    identity = CallIdentity(handed.call_id, resume_token)
    try:
        return await open_webrtc(calls, offer, beginning, client, identity=identity, **options)
    except BaseException:
        calls.handed_over.put_back(handed)
        raise


def known_voice(request: web.Request, voice: str | None) -> str | None:
    """A voice id, None for the default.

    Raises:
        ApiError: 400 naming the known ones.
    """
    return _known_voice(registry(request), voice)


def _known_voice(calls: CallRegistry, voice: str | None) -> str | None:
    known = [known.id for known in calls.engines.tts.voices]
    if voice is None or voice == "default":
        return None
    if voice not in known:
        raise ApiError(400, "unknown_voice", f"There is no voice {voice}; known: default, {', '.join(known)}")
    return voice
