"""What a call's machine is made of: with it and the inputs, all that the machine wants can be found out again."""

from dataclasses import dataclass, fields, replace
from typing import Any

from pydantic import ValidationError

from pipeline.call.circumstances import Circumstances
from pipeline.call.context import Context, Entry
from pipeline.call.effect_queue import ids_of
from pipeline.call.machine import CallMachine
from pipeline.call.options import CallOptions
from pipeline.call.replay.codec import ReplayError, adapter, plain
from pipeline.call.reply.voice_choice import VoiceChoice
from pipeline.call.turn_taking.config import TurnTakingConfig
from pipeline.engines.protocols import Voice
from pipeline.tools.declaration import ToolDeclaration
from pipeline.tools.own_tool import OwnTool
from pipeline.tools.toolbox import Toolbox

TOLD = ("name", "description", "parameters", "timeout_s")
"""What is kept of a tool."""

WAITS = "waits_for_user"
"""Of tools that do, which are the last of their call."""


@dataclass(frozen=True, slots=True)
class CallBeginning:
    """The beginning of one call.

    Attributes:
        options: what the call asked for.
        context: the conversation, with what was said before.
        voices: that replies can be spoken with,
        default_voice: and the id of the one that speaks unless told otherwise.
        recall_s: within which memories come; 0 where there are none.
        key: from which its ids follow.
    """

    options: CallOptions
    context: Context
    voices: tuple[Voice, ...]
    default_voice: str
    recall_s: float
    key: bytes

    def voice_choice(self) -> VoiceChoice:
        """Which voice says what."""
        return VoiceChoice(self.voices, self.default_voice, self.options.voice)

    def machine(self) -> CallMachine:
        """A machine that begins so; it goes on with the context."""
        return CallMachine(
            self.options, self.context, ids_of(self.key), recall_s=self.recall_s, voices=self.voice_choice()
        )

    def to_json(self) -> dict[str, Any]:
        """As JSON; of the tools only what models are told of them, and nothing by which they could be run."""
        options = {each.name: getattr(self.options, each.name) for each in fields(self.options)}
        options["tools"] = _tools_json(self.options.tools)
        return {
            "options": {name: plain(value) for name, value in options.items()},
            "context": plain(self.context.beginning()),
            "voices": plain(self.voices),
            "default_voice": self.default_voice,
            "recall_s": self.recall_s,
            "key": self.key.hex(),
        }

    @classmethod
    def of_json(cls, known: dict[str, Any]) -> "CallBeginning":
        """The beginning that `to_json` made this of.

        Raises:
            ReplayError: this version does not know what is in it.
        """
        try:
            context = dict(known["context"])
            entries = adapter(list[Entry]).validate_python(context.pop("entries"))
            circumstances = adapter(Circumstances).validate_python(context.pop("circumstances"))
            began = Context(**context, circumstances=circumstances)
            began.entries.extend(entries)
            return cls(
                _options_of(known["options"]),
                began,
                adapter(tuple[Voice, ...]).validate_python(known["voices"]),
                known["default_voice"],
                known["recall_s"],
                bytes.fromhex(known["key"]),
            )
        except (ValidationError, TypeError, KeyError, ValueError) as error:
            raise ReplayError(f"the call began with what this version does not know: {error}") from None


def _options_of(known: dict[str, Any]) -> CallOptions:
    turn_taking = adapter(TurnTakingConfig).validate_python(known["turn_taking"])
    tools = dict(known["tools"])
    told = tools.pop("declarations")
    declared = [ToolDeclaration(**each, function="builtins:dict") for each in told if not each.get(WAITS)]
    own = [OwnTool(**each, function=_not_run) for each in told if each.get(WAITS)]
    box = Toolbox(declared, **tools).having(*own)
    return replace(CallOptions(), **{**known, "turn_taking": turn_taking, "tools": box})


async def _not_run(arguments: dict[str, Any]) -> str:
    """What a tool did is in the recording."""
    return ""


def _tools_json(tools: Toolbox) -> dict[str, Any]:
    told = [{name: getattr(each, name) for name in TOLD} for each in tools.declarations]
    for declaration, each in zip(tools.declarations, told, strict=True):
        if isinstance(declaration, OwnTool) and declaration.waits_for_user:
            each[WAITS] = True
    return {"declarations": told, "rounds": tools.rounds}
