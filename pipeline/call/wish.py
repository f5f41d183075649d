"""A client's wish for one reply, where it differs from the call's options, and the request that comes of it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from pipeline.call.context import SPOKEN_RULES, Context
from pipeline.call.options import CallOptions
from pipeline.engines.guidance import Guidance
from pipeline.engines.protocols import ChatRequest, Message, ToolSpec


@dataclass(frozen=True, slots=True)
class ReplyWish:
    """How one reply is to be; None is as the call's options have it.

    Attributes:
        name: by which the client that wished for it knows it again; "" for a reply that was not asked for.
        instructions: in place of the call's.
        speaks: whether it is spoken; otherwise it is text.
        voice: id of the voice.
        max_tokens: most tokens of it.
        tools: of the client, in place of those of the call.
        tool_choice: see `ChatRequest.tool_choice`.
        parallel_tool_calls: see `ChatRequest.parallel_tool_calls`.
        messages: what it answers, in place of the conversation.
    """

    name: str = ""
    instructions: str | None = None
    speaks: bool | None = None
    voice: str | None = None
    max_tokens: int | None = None
    tools: tuple[ToolSpec, ...] | None = None
    tool_choice: str | None = None
    parallel_tool_calls: bool | None = None
    messages: tuple[Message, ...] | None = None

    def client_tools(self, options: CallOptions) -> tuple[ToolSpec, ...]:
        """The tools that the client runs by itself."""
        return options.client_tools if self.tools is None else self.tools

    def is_spoken(self, options: CallOptions) -> bool:
        """Whether the reply is spoken."""
        return options.speaks if self.speaks is None else self.speaks

    def request(
        self, context: Context, options: CallOptions, said: str | None = None, *, tools_again: bool = True
    ) -> ChatRequest:
        """What the language model is asked.

        Args:
            context: the conversation.
            options: of the call.
            said: the user's words in hand, which are not (or not yet) part of the conversation.
            tools_again: whether it may ask for tools; off, it must answer.
        """
        max_tokens = options.max_tokens if self.max_tokens is None else self.max_tokens
        tools = (*options.tools.specs, *self.client_tools(options))
        choice = options.tool_choice if self.tool_choice is None else self.tool_choice
        choice = choice if tools_again and tools else "none" if tools else "auto"
        asked = context.request(said, max_tokens, options.temperature, tools, choice)
        several = options.parallel_tool_calls if self.parallel_tool_calls is None else self.parallel_tool_calls
        messages = tuple(answered_calls(self._messages(asked.messages, options)))
        as_always = self.messages is None and self.instructions is None and self.is_spoken(options)
        guidance = asked.guidance if as_always else Guidance.NONE
        return replace(asked, messages=messages, parallel_tool_calls=several, guidance=guidance)

    def _messages(self, messages: tuple[Message, ...], options: CallOptions) -> tuple[Message, ...]:
        """The conversation, or what is to stand in its place, under the instructions that count."""
        system, *rest = messages
        if self.messages is not None:
            rest = list(self.messages)
        if self.instructions is not None:
            rules = SPOKEN_RULES if self.is_spoken(options) else ""
            system = Message("system", "\n".join(part for part in (self.instructions, rules) if part))
        elif not self.is_spoken(options):
            system = Message("system", system.content.replace(SPOKEN_RULES, "").strip())
        return (system, *rest) if system.content else tuple(rest)


AS_ALWAYS = ReplyWish()
"""As the call's options have it."""


def answered_calls(messages: Iterable[Message]) -> list[Message]:
    """The messages with tool calls and results in pairs: endpoints refuse the one without the other.

    Calls of one message after the other are put into one, as models write them.
    """
    listed = list(messages)
    asked = {call.id for message in listed for call in message.tool_calls}
    returned = {message.tool_call_id for message in listed if message.role == "tool"}
    paired: list[Message] = []
    for message in listed:
        if message.role == "tool" and message.tool_call_id not in asked:
            continue
        if message.tool_calls:
            calls = tuple(call for call in message.tool_calls if call.id in returned)
            if paired and paired[-1].tool_calls and not message.content:
                paired[-1] = replace(paired[-1], tool_calls=paired[-1].tool_calls + calls)
                continue
            message = replace(message, tool_calls=calls)
            if not calls and not message.content:
                continue
        paired.append(message)
    return paired
