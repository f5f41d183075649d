"""How Morgan listens, what it may do and what it says."""

import re
from typing import Annotated, get_args

from pydantic import BaseModel, Field, ValidationInfo, field_validator

from pipeline.call.context import INSTRUCTIONS
from pipeline.call.turn_taking.config import TurnTakingConfig
from pipeline.text.phrases import (
    APOLOGIES,
    DELAYS,
    FAREWELLS,
    FILLERS,
    IDLE_PROMPTS,
    SHUTDOWNS,
    UNCLEAR,
    PhraseName,
)
from pipeline.tools.declaration import ToolDeclaration
from pipeline.tools.mcp.declaration import McpServer
from server.settings.types import Listed

LanguageCode = Annotated[str, Field(pattern="^[a-z]{2,3}$")]
"""ISO 639-1."""

Phrase = Annotated[str, Field(max_length=1_000)]


class ConversationSettings(BaseModel):
    """How Morgan listens, what it may do and what it says."""

    language: str | None = Field(
        None,
        pattern="^[a-z]{2,3}$",
        description="What callers speak who do not say, ISO 639-1, whatever it sounds like; none: found by listening.",
    )
    languages: Listed = Field(
        (),
        description="What callers may speak, ISO 639-1, comma-separated, the likeliest first: no other one is taken "
        "for heard unless a caller asks for it. None: any.",
    )
    short_replies: bool = Field(
        True,
        description="Replies end with a sentence once they are as long as the question asks: after 35 words, or 130 "
        "where it asks for a story, an explanation or a list. Instructions that ask for length are followed.",
    )
    tools: tuple[ToolDeclaration, ...] = Field(
        (),
        max_length=64,
        description="What the language model may do: a JSON array, or tables [[tools]]: name, description, parameters "
        "(JSON schema; what it does not declare is refused), and url (POST) or function (module:function), headers, "
        "timeout_s, background, confirm, confirm_question, filler (docs/tools.md).",
    )
    mcp_servers: tuple[McpServer, ...] = Field(
        (),
        max_length=16,
        description="MCP servers whose tools it may use: a JSON array, or tables [[mcp_servers]]: name, and command "
        "(args, env, cwd) or url (headers), tools, confirm, background, filler, timeout_s (docs/tools.md).",
    )
    tool_rounds: int = Field(4, ge=1, le=16, description="How often in one turn it may ask for tools.")
    tool_filler: str = Field(
        FILLERS["en"], description="Said in calls when a tool, or a model that thinks, takes its time; empty: nothing."
    )
    tool_filler_after_s: float = Field(1.0, ge=0, description="So much time.")
    recall: bool = Field(True, description="Remind the language model of what the user said in earlier conversations.")
    recall_tokens: int = Field(120, ge=10, le=2000, description="Of a prompt, about as many for each turn's memories.")
    document_tokens: int = Field(
        400, ge=50, le=4000, description="And as many for what the user's documents say to it (`morgan memory add`)."
    )
    recall_score: float = Field(0.35, ge=0, le=1, description="Similarity (cosine) from which a memory fits the words.")
    recall_ms: float = Field(20.0, ge=1, le=1000, description="A turn goes on without memories that take longer.")
    instructions: str = Field(INSTRUCTIONS, description="How Morgan should be.")
    phrases: dict[LanguageCode, dict[PhraseName, Phrase]] = Field(
        {},
        description="What Morgan says by itself, by language: a JSON object, or tables [phrases.de] with any of "
        f"{', '.join(get_args(PhraseName))}. Where there is nothing here, the settings of these names count: a text of "
        "yours is said in all languages, and the default ones stand for the same words in the language of the voice, "
        f"which is that of the call where there is one ({', '.join(UNCLEAR)}).",
    )
    greeting: str = Field("", description="Said when a call stands; empty: Morgan waits for the user.")
    idle_prompt: str = Field(IDLE_PROMPTS["en"], description="Said after turn_taking.idle_prompt_s of silence.")
    apology: str = Field(APOLOGIES["en"], description="Said when an engine failed.")
    delay_apology: str = Field(
        DELAYS["en"],
        description="Said in calls when speech to text, the language model or the voice gives no sign of itself; "
        "empty: nothing.",
    )
    delay_apology_after_s: float = Field(3.5, ge=0, description="So long after the end of the user's turn.")
    farewell: str = Field(
        FAREWELLS["en"],
        description="Said when a fault in Morgan ends a call; empty: nothing.",
    )
    shutdown_prompt: str = Field(
        SHUTDOWNS["en"],
        description="Said when a restart of the server ends a call that cannot go on afterwards; empty: nothing.",
    )
    unclear_prompt: str = Field(
        UNCLEAR["en"],
        description="Said when somebody spoke and no words could be made out; empty: nothing.",
    )
    unclear_prompts: int = Field(2, ge=0, description="How often in a row; then Morgan waits for words.")
    interim_transcripts: bool = Field(True, description="Transcribe while the user speaks.")
    speculate: bool = Field(True, description="Work on the answer before the turn is certainly over.")
    turn_taking: TurnTakingConfig = Field(default_factory=TurnTakingConfig, description="How patient Morgan is.")

    @field_validator("languages")
    @classmethod
    def _language_codes(cls, codes: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        for code in codes:
            if not re.fullmatch("[a-z]{2,3}", code):
                raise ValueError(f"{code} is no ISO 639-1 code, such as en or de")
        forced = info.data.get("language")
        if codes and forced and forced not in codes:
            raise ValueError(f"language is {forced}, which is not among them")
        return codes

    mcp_client_hosts: tuple[str, ...] = Field(
        (),
        description="Hosts of MCP servers that clients of the Realtime API may bring along (`server_url`), "
        "comma-separated; * for any: what they name is asked from this machine. Empty: only those of mcp_servers, by "
        "their names.",
    )

    @field_validator("mcp_servers")
    @classmethod
    def _one_server_of_each_name(cls, servers: tuple[McpServer, ...]) -> tuple[McpServer, ...]:
        names = [server.name for server in servers]
        if len(set(names)) < len(names):
            raise ValueError("two MCP servers have the same name")
        return servers

    @field_validator("tools")
    @classmethod
    def _one_of_each_name(cls, tools: tuple[ToolDeclaration, ...]) -> tuple[ToolDeclaration, ...]:
        names = [tool.name for tool in tools]
        if len(set(names)) < len(names):
            raise ValueError("two tools have the same name")
        return tools
