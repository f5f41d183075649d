"""The beginning of a call's machine: with it and the inputs, all that the machine wants can be found again."""

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
from pipeline.tools.declaration import ToolDescription
from pipeline.tools.toolbox import NO_TOOLS, Tool, Toolbox


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
    return replace(CallOptions(), **{**known, "turn_taking": turn_taking, "tools": _toolbox_of(known["tools"])})


class _NeverRun:
    """In a replay nothing runs a tool: what came of it is an input."""

    async def run(self, arguments: dict[str, Any]) -> str:
        raise ReplayError("a replay runs no tool")


def _toolbox_of(known: dict[str, Any]) -> Toolbox:
    described = [ToolDescription(**each) for each in known["declarations"]]
    return NO_TOOLS.plus((Tool(each, _NeverRun()) for each in described), rounds=known["rounds"])


def _tools_json(tools: Toolbox) -> dict[str, Any]:
    told = [{name: plain(getattr(each, name)) for name in ToolDescription.model_fields} for each in tools.descriptions]
    return {"declarations": told, "rounds": tools.rounds}
