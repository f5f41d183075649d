"""What a language model may do with the telephone line that it talks on: hang up, pass the caller on, read keys."""

from collections.abc import Mapping
from typing import Any, Protocol

from pipeline.engines.protocols import LanguageModel
from pipeline.tools.declaration import ToolDescription
from pipeline.tools.errors import ToolError
from pipeline.tools.own_tool import own_tool
from pipeline.tools.toolbox import Tool, Toolbox
from server.telephone.keys import KeyReader

FIRST_KEY_S = 20.0
"""For the first key: the caller has to hear first what they are asked for."""

KEY_PATIENCE_S = 6.0
"""Between two keys."""

MOST_KEYS = 32

HANG_UP = ToolDescription(
    name="hang_up",
    description="End this telephone call. Use it when the caller has said goodbye or asks you to hang up; say goodbye "
    "in the same reply.",
)

TRANSFER = ToolDescription(
    name="transfer_call",
    description="Connect the caller to somebody else and leave the call. Say to whom in the same reply.",
)

READ_KEYS = ToolDescription(
    name="read_keys",
    description="Wait for the caller to press keys of their telephone, such as a code or a number. Ask for them first; "
    "the keys are the result.",
    parameters={
        "type": "object",
        "properties": {
            "most": {
                "type": "integer",
                "minimum": 1,
                "maximum": MOST_KEYS,
                "description": "Keys that are expected at most.",
            },
            "end_key": {"type": "string", "enum": ["#", "*", ""], "description": "Ends the input."},
        },
        "required": ["most"],
    },
    timeout_s=MOST_KEYS * KEY_PATIENCE_S / 2,
    waits_for_user=True,
)


class Leavable(Protocol):
    """A line that can be left when the reply in hand has been heard."""

    keys: KeyReader

    def leave(self, target: str | None) -> None:
        """End the call once the reply was heard; with a target the bridge is told to connect the caller to it."""


class LineTools:
    """The tools of one call. They come before the line, which the call has only once it was opened.

    Args:
        targets: numbers or addresses to which callers may be passed on, by the names that the model knows them by.
    """

    def __init__(self, targets: Mapping[str, str]) -> None:
        self.line: Leavable | None = None
        self._targets = targets

    def beside(self, tools: Toolbox, llm: LanguageModel) -> Toolbox:
        """These tools and those of the server; without these where the model cannot call any."""
        return tools.having(*self._own()) if llm.calls_tools else tools

    def _own(self) -> list[Tool]:
        own = [own_tool(HANG_UP, self._hang_up)]
        if self._targets:
            to = {"type": "string", "enum": sorted(self._targets)}
            transfer = TRANSFER.model_copy(
                update={"parameters": {"type": "object", "properties": {"to": to}, "required": ["to"]}}
            )
            own.append(own_tool(transfer, self._transfer))
        return [*own, own_tool(READ_KEYS, self._read_keys)]

    async def _hang_up(self, arguments: Mapping[str, Any]) -> str:
        self._found().leave(None)
        return "The call ends when you have said goodbye."

    async def _transfer(self, arguments: Mapping[str, Any]) -> str:
        self._found().leave(self._targets[arguments["to"]])
        return f"The caller is connected to {arguments['to']} when you have told them."

    async def _read_keys(self, arguments: Mapping[str, Any]) -> str:
        pressed = await self._found().keys.read(
            arguments["most"], arguments.get("end_key", "#"), FIRST_KEY_S, KEY_PATIENCE_S
        )
        return pressed or "The caller pressed nothing."

    def _found(self) -> Leavable:
        if self.line is None:
            raise ToolError("there is no line any more")
        return self.line
