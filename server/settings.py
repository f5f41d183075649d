"""Every setting of Morgan: one frozen object, read once from `MORGAN_*` variables and a TOML file.

Order of precedence: command line, environment, TOML file, default. A setting that nobody knows, or that does not fit,
stops the start with a message that names it.
"""

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, cast
from urllib.parse import urlsplit

import pydantic_settings
from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from persistence.config import FsyncPolicy
from pipeline.call.turn_taking.config import TurnTakingConfig
from pipeline.models import default_root
from pipeline.plugins.engine_plugin import EngineRole
from pipeline.plugins.registry import known_ids
from pipeline.text.languages import UNCLEAR
from pipeline.tools.declaration import ToolDeclaration
from server.addresses import is_loopback
from server.bounds import MAX_CONNECTIONS, MAX_CONNECTIONS_EACH
from server.identity.jwt_keys import public_key
from server.identity.keys_file import KEYS_FILE
from server.identity.scopes import parse_scopes
from server.roles import Role, takes_calls

PREFIX = "MORGAN_"
NESTED = "__"

FOREIGN = frozenset({"MORGAN_CONFIG", "MORGAN_URL", "MORGAN_TOKEN", "MORGAN_SHARED_AUDIO"})
"""Variables with our prefix that are no settings: where the settings are, and what clients and tests read."""

RecordInputs = Literal["never", "asked", "always"]

AUTO_MIND = "auto"
"""In place of the name of a language model: the wisest that this machine affords, see `server.minds`."""

MIN_KEY_LENGTH = 24
MIN_SECRET_LENGTH = 32
MOST_LANES = 16

ENGINE_WORDS = {"llm": ("auto",), "tts": ("local",), "embedder": ("none",)}
"""What an engine's setting may be besides ids, by role."""

SECRET = re.compile("key|token|secret|password")
"""In the names of engine options whose values are not shown."""

STORE_SCHEMES = {
    "postgres_dsn": ("postgresql://", "postgres://"),
    "redis_url": ("redis://", "rediss://", "unix://"),
    "qdrant_url": ("http://", "https://", "file://"),
}
"""How the address of each store begins."""


class SettingsError(ValueError):
    """The settings do not fit; the message says which, and what would."""


class Settings(BaseSettings):
    """The effective settings.

    Each is set by `MORGAN_<NAME>` or by `<name>` in the TOML file; those of `turn_taking` by
    `MORGAN_TURN_TAKING__<NAME>` or in a table `[turn_taking]`.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter=NESTED, frozen=True, extra="forbid", validate_default=True
    )

    host: str = Field(
        "localhost",
        description="Address to listen on; localhost is 127.0.0.1 and ::1. Anything but loopback needs api_keys.",
    )
    port: int = Field(8000, ge=1, le=65532, description="Port of the core; the services follow on the next three.")
    role: Role = Field(
        "all", description="all: everything; core: calls, with engines elsewhere; llm, tts, stt: that service alone."
    )
    stt_url: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Morgan's STT services that the core uses, http://host:8003, comma-separated; none: in process."
    )
    llm_url: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Its LLM services (embeddings too), http://host:8001, comma-separated; none: in process."
    )
    tts_url: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Its TTS services, http://host:8002, comma-separated; none: in process."
    )
    service_key: SecretStr = Field(
        SecretStr(""), description="What the core shows the services; empty: the first of api_keys."
    )
    service_wait_s: float = Field(60.0, ge=0, description="How long the core's start waits for its services.")
    data_dir: Path = Field(Path("~/.local/share/morgan"), description="Where Morgan keeps what it must not lose.")
    models_dir: Path = Field(default_factory=default_root, description="Where the weights are.")
    postgres_dsn: SecretStr | None = Field(None, description="A PostgreSQL, postgresql://...; none: one of our own.")
    redis_url: SecretStr | None = Field(None, description="A Redis or Valkey, redis://...; none: one of our own.")
    qdrant_url: str | None = Field(None, description="A Qdrant, http://... or file:///folder; none: in the data_dir.")
    qdrant_api_key: SecretStr = Field(SecretStr(""), description="Its key.")
    journal_fsync: FsyncPolicy = Field(
        "interval",
        description="When what waits for PostgreSQL is safe from a power cut: always, interval (1 s), never.",
    )
    memory: Literal["on", "off"] = Field(
        "on", description="off: nothing that is said is kept, and no database is started or asked."
    )
    record_calls: bool = Field(
        False, description="Keep the sound of calls in the data_dir. Tell your callers: many laws ask for it."
    )
    record_inputs: RecordInputs = Field(
        "never",
        description="Write down what a call is told, to replay it (`morgan replay`): of calls that ask for it "
        "(`morgan call --record-inputs`), or of all. There are the words of both sides in it, the instructions and "
        "Morgan's voice, but not the user's.",
    )
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (), description=f"Keys that open the API, comma-separated, at least {MIN_KEY_LENGTH} characters each."
    )
    token_secret: SecretStr = Field(
        SecretStr(""),
        description="What tokens are signed with, at least 32 characters, the same for servers that take each "
        "other's; empty: one of this data_dir's own.",
    )
    jwt_secret: SecretStr = Field(
        SecretStr(""),
        description="JWTs of an identity provider open the API: signed with this secret (HS256), at least 32 "
        "characters, ...",
    )
    jwt_public_key: str = Field(
        "",
        description="... or with the private key of this one: PEM, or a file with it; RSA is RS256, P-256 is ES256 ...",
    )
    jwt_jwks_url: str = Field("", description="... or with one of the keys at this address (RS256, ES256).")
    jwt_issuer: str = Field("", description="Their `iss`; empty: any.")
    jwt_audience: str = Field("", description="Among their `aud`; empty: they have none. Both are needed with a JWKS.")
    jwt_user_claim: str = Field("sub", min_length=1, description="Their claim that names the user.")
    jwt_scope_claim: str = Field(
        "scope", min_length=1, description="Their claim with scopes, which may have morgan: before them."
    )
    jwt_scopes: Annotated[tuple[str, ...], NoDecode] = Field(
        ("calls", "read", "erase"), description="Scopes of those without that claim."
    )
    jwt_leeway_s: float = Field(30.0, ge=0, le=600, description="What the provider's clock may be off.")
    wrong_keys_per_minute: int = Field(
        30, ge=1, description="Wrong keys from one address; further ones are answered 429."
    )
    calls_per_minute: int = Field(
        120, ge=1, description="Calls that one client (key and address) may begin; further ones are answered 429."
    )
    half_open_calls: int = Field(
        10, ge=1, description="Of them, those that are not connected yet; further ones are answered 429."
    )
    requests_per_minute: int = Field(
        1200, ge=1, description="Other requests of one client that cost something; further ones are answered 429."
    )
    max_connections: int = Field(
        MAX_CONNECTIONS, ge=1, description="TCP connections at once; the idle ones make room for further ones."
    )
    max_connections_per_address: int = Field(
        MAX_CONNECTIONS_EACH,
        ge=1,
        description="Of them, from one address (IPv6: /64). All have one behind a proxy: set max_connections.",
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Web pages that may use the API, by origin: https://example.org, ...; * for all.",
    )
    metrics_port: int = Field(
        0, ge=0, le=65535, description="A port on which /metrics needs no key; 0 for none besides the API's."
    )
    metrics_sample_s: float = Field(
        60.0, gt=0, description="How often the metrics are written to the table system_metrics, which keeps a week."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="What is logged.")
    log_format: Literal["auto", "console", "json"] = Field("auto", description="auto: console on a terminal.")

    media_host: str = Field(
        "",
        description="Address of the UDP port, which answers callers of Morgan only; empty: that of `host` where it is "
        "one interface's, else all, since Firefox reaches no media on loopback.",
    )
    media_port: int = Field(0, ge=0, le=65535, description="UDP port of all calls; 0 takes a free one.")
    public_ip: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Addresses announced to callers in place of the local ones (NAT, containers), comma-separated."
    )
    connect_timeout_s: float = Field(10.0, gt=0, description="A call that is not connected by then ends.")
    lost_grace_s: float = Field(15.0, ge=0, description="How long a call whose caller vanished waits for them.")
    max_calls: int | None = Field(
        None,
        ge=1,
        description="Calls at once; more are refused with 503. None, or auto: as many as this machine, by its measured "
        "speed, answers in time.",
    )
    cores: int = Field(
        0, ge=0, le=1024, description="Cores that models may keep busy; 0: all that this process may use."
    )
    opus_bitrate: int = Field(28_000, ge=8_000, le=128_000, description="Of the outgoing voice, bit/s.")
    drain_s: float = Field(30.0, ge=0, description="How long SIGTERM waits for calls to end.")

    engine_options: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="Options of engines by their id, over the settings: a JSON object, or tables "
        "[engine_options.faster-whisper] with device (cpu, cuda), compute_type and what else the engine has.",
    )
    stt_engine: str = Field("faster-whisper", description="Id of the speech to text engine.")
    stt_model: str = Field("whisper-base", description="Model id, or a folder with a CTranslate2 Whisper model.")
    stt_compute_type: Literal["auto", "int8", "float32"] = Field(
        "auto",
        description="What Whisper computes in. float32 errs less and takes four times the memory; auto: float32 where "
        "the self-check finds it faster than int8.",
    )
    stt_lanes: int | None = Field(
        None, ge=1, le=MOST_LANES, description="Transcriptions at once. None, or auto: as many as cores."
    )
    stt_max_sessions: int = Field(64, ge=1, le=4096, description="Streaming sessions of the service at once.")
    stt_session_ttl_s: int = Field(
        120, ge=1, le=3600, description="Seconds without audio after which a streaming session is abandoned."
    )
    stt_max_audio_s: int = Field(1800, ge=1, le=36_000, description="Longest audio file that is transcribed, seconds.")
    language: str | None = Field(
        None,
        pattern="^[a-z]{2,3}$",
        description="What callers speak who do not say, ISO 639-1, whatever it sounds like; none: found by listening.",
    )
    languages: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="What callers may speak, ISO 639-1, comma-separated, the likeliest first: no other one is taken "
        "for heard unless a caller asks for it. None: any.",
    )
    llm_engine: str = Field(
        "auto",
        description="llama.cpp, transformers, openai or the id of an installed engine; auto: openai if llm_base_url is "
        "set, else llama.cpp, else transformers.",
    )
    llm_model: str = Field(
        AUTO_MIND,
        description="Model id, path, or the endpoint's model name. auto: the wisest of `morgan models list` that this "
        "machine affords, by measured speed and memory; a quick one answers until that is fetched.",
    )
    llm_threads: int = Field(2, ge=1, le=64, description="Threads of the language model in process.")
    llm_requantize: bool = Field(
        True, description="Keep a copy of small models in a form that reads prompts faster, made once (0.5 s)."
    )
    llm_base_url: str | None = Field(None, description="An OpenAI-compatible endpoint, such as http://host:11434/v1.")
    llm_api_key: SecretStr = Field(SecretStr(""), description="Its key.")
    llm_max_tokens: int = Field(320, ge=1, le=4096, description="Most tokens of a reply.")
    short_replies: bool = Field(
        True,
        description="Replies end with a sentence once they are as long as the question asks: after 35 words, or 130 "
        "where it asks for a story, an explanation or a list. Instructions that ask for length are followed.",
    )
    llm_temperature: float = Field(0.0, ge=0, le=2, description="0 is greedy.")
    tts_engine: str = Field(
        "local",
        description="local: in this process, by what lies in the folders of the voices; openai: an endpoint with "
        "/audio/speech; or the id of an installed engine.",
    )
    tts_voice: str = Field(
        "piper-en_US-joe-medium",
        description="The default voice: model id or folder (Piper, Kokoro, CSM), or the endpoint's name for it. "
        "One of several in a folder is named behind a #: kokoro-82m#jf_alpha.",
    )
    tts_voices: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Further voices in this process: model ids or folders, comma-separated."
    )
    tts_lanes: int | None = Field(
        None,
        ge=1,
        le=MOST_LANES,
        description="Clauses spoken at once. None, or auto: as many as cores.",
    )
    tts_base_url: str | None = Field(None, description="An OpenAI-compatible speech endpoint.")
    tts_api_key: SecretStr = Field(SecretStr(""), description="Its key.")
    tts_model: str = Field("tts-1", description="Its model name.")
    tools: tuple[ToolDeclaration, ...] = Field(
        (),
        max_length=64,
        description="What the language model may do: a JSON array, or tables [[tools]]: name, description, parameters "
        "(JSON schema; what it does not declare is refused), and url (POST) or function (module:function), headers, "
        "timeout_s.",
    )
    tool_rounds: int = Field(4, ge=1, le=16, description="How often in one turn it may ask for tools.")
    tool_filler: str = Field(
        "One moment.", description="Said in calls when a tool, or a model that thinks, takes its time; empty: nothing."
    )
    tool_filler_after_s: float = Field(1.0, ge=0, description="So much time.")
    turn_engine: str = Field("smart-turn", description="Id of the end-of-turn engine.")
    turn_model: str = Field("smart-turn-v3.2", description="Model id or folder of the end-of-turn model.")
    vad_engine: str = Field("silero", description="Id of the voice activity engine.")
    vad_model: str = Field("silero-vad-v6", description="Model id or folder of the voice activity model.")
    embedder_engine: str = Field(
        "ctranslate2",
        description="What finds messages by their meaning: ctranslate2, transformers or the id of an installed engine; "
        "none: no search.",
    )
    embedder_model: str = Field("all-minilm-l6-v2", description="Model id or folder; 384 dimensions.")
    recall: bool = Field(True, description="Remind the language model of what the user said in earlier conversations.")
    recall_tokens: int = Field(120, ge=10, le=2000, description="Of a prompt, about as many for each turn's memories.")
    recall_score: float = Field(0.35, ge=0, le=1, description="Similarity (cosine) from which a memory fits the words.")
    recall_ms: float = Field(20.0, ge=1, le=1000, description="A turn goes on without memories that take longer.")

    instructions: str = Field(
        "You are Morgan, a friendly and helpful voice assistant.", description="How Morgan should be."
    )
    greeting: str = Field("", description="Said when a call stands; empty: Morgan waits for the user.")
    idle_prompt: str = Field("Are you still there?", description="Said after turn_taking.idle_prompt_s of silence.")
    apology: str = Field(
        "Sorry, something went wrong on my side. Could you say that again?", description="Said when an engine failed."
    )
    farewell: str = Field(
        "Sorry, something went wrong on my side, and I have to hang up. Please call again.",
        description="Said when a fault in Morgan ends a call; empty: nothing.",
    )
    unclear_prompt: str = Field(
        UNCLEAR["en"],
        description="Said when somebody spoke and no words could be made out, in the call's language where that is "
        f"{', '.join(UNCLEAR)}; a text of yours is said in all; empty: nothing.",
    )
    unclear_prompts: int = Field(2, ge=0, description="How often in a row; then Morgan waits for words.")
    interim_transcripts: bool = Field(True, description="Transcribe while the user speaks.")
    speculate: bool = Field(True, description="Work on the answer before the turn is certainly over.")
    turn_taking: TurnTakingConfig = Field(default_factory=TurnTakingConfig, description="How patient Morgan is.")

    @field_validator(
        "api_keys",
        "public_ip",
        "allowed_origins",
        "languages",
        "tts_voices",
        "stt_url",
        "llm_url",
        "tts_url",
        "jwt_scopes",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("api_keys")
    @classmethod
    def _long_enough(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(key.get_secret_value()) < MIN_KEY_LENGTH for key in keys):
            raise ValueError(
                f"a key needs at least {MIN_KEY_LENGTH} characters; `openssl rand -hex 24` makes a good one"
            )
        return keys

    @field_validator("service_key")
    @classmethod
    def _service_key_long_enough(cls, key: SecretStr) -> SecretStr:
        if key.get_secret_value():
            cls._long_enough((key,))
        return key

    @field_validator("jwt_scopes")
    @classmethod
    def _known_scopes(cls, scopes: tuple[str, ...]) -> tuple[str, ...]:
        parse_scopes(scopes)
        return scopes

    @field_validator("jwt_public_key")
    @classmethod
    def _usable_key(cls, key: str) -> str:
        if key:
            public_key(key)
        return key

    @field_validator("jwt_jwks_url")
    @classmethod
    def _safe_jwks(cls, url: str) -> str:
        host = urlsplit(url).hostname or ""
        if url and not (url.startswith("https://") or (url.startswith("http://") and is_loopback(host))):
            raise ValueError("it must begin with https://, since whoever answers there decides who comes in")
        return url

    @field_validator("token_secret", "jwt_secret")
    @classmethod
    def _secret_enough(cls, secret: SecretStr) -> SecretStr:
        if secret.get_secret_value() and len(secret.get_secret_value()) < MIN_SECRET_LENGTH:
            raise ValueError(
                f"it needs at least {MIN_SECRET_LENGTH} characters; `openssl rand -hex 32` makes a good one"
            )
        return secret

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

    @field_validator("allowed_origins")
    @classmethod
    def _origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if origin != "*" and not re.fullmatch(r"https?://[^/?#@\s]+", origin):
                raise ValueError(f"{origin} is not an origin, such as https://example.org or http://localhost:3000")
        return tuple(origin.lower() for origin in origins)

    @field_validator("public_ip")
    @classmethod
    def _addresses(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ipaddress.ip_address(address)) for address in addresses)

    @field_validator("postgres_dsn", "redis_url", "qdrant_url")
    @classmethod
    def _known_scheme(cls, url: SecretStr | str | None, info: ValidationInfo) -> SecretStr | str | None:
        schemes = STORE_SCHEMES[info.field_name or ""]
        text = url.get_secret_value() if isinstance(url, SecretStr) else url
        if text is not None and not text.startswith(schemes):
            raise ValueError(f"must begin with {' or '.join(schemes)}")
        return url

    @field_validator("stt_url", "llm_url", "tts_url")
    @classmethod
    def _service_roots(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            if not re.fullmatch(r"https?://[^/?#@\s]+(/[^?#\s]*)?", url):
                raise ValueError(f"{url} is not the root of a service, such as http://localhost:8003")
        return tuple(url.rstrip("/") for url in urls)

    @field_validator("tools")
    @classmethod
    def _one_of_each_name(cls, tools: tuple[ToolDeclaration, ...]) -> tuple[ToolDeclaration, ...]:
        names = [tool.name for tool in tools]
        if len(set(names)) < len(names):
            raise ValueError("two tools have the same name")
        return tools

    @field_validator("stt_engine", "llm_engine", "tts_engine", "turn_engine", "vad_engine", "embedder_engine")
    @classmethod
    def _installed_engine(cls, engine_id: str, info: ValidationInfo) -> str:
        role = (info.field_name or "").removesuffix("_engine")
        known = [*ENGINE_WORDS.get(role, ()), *known_ids(cast(EngineRole, role))]
        if engine_id not in known:
            raise ValueError(f"there is no {role} engine {engine_id!r}; there are {', '.join(known)}")
        return engine_id

    @field_serializer("engine_options")
    def _without_secrets(self, options: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        return {
            engine: {name: "**********" if SECRET.search(name) else value for name, value in values.items()}
            for engine, values in options.items()
        }

    @field_validator("max_calls", "stt_lanes", "tts_lanes", mode="before")
    @classmethod
    def _by_the_machine(cls, count: object) -> object:
        return None if count == "auto" else count

    @field_validator("data_dir", "models_dir")
    @classmethod
    def _home(cls, path: Path) -> Path:
        return path.expanduser()

    @model_validator(mode="after")
    def _engines_of_the_core(self) -> "Settings":
        if self.role == "core":
            elsewhere = {
                "stt_url": bool(self.stt_url),
                "llm_url": bool(self.llm_url or self.llm_base_url),
                "tts_url": bool(self.tts_url or self.tts_engine != "local"),
            }
            missing = [PREFIX + name.upper() for name, known in elsewhere.items() if not known]
            if missing:
                raise ValueError(
                    f"role is core, which has no engines of its own: set {', '.join(missing)}, or serve the role all"
                )
        return self

    @model_validator(mode="after")
    def _recordings_belong_to_conversations(self) -> "Settings":
        if self.record_calls and self.memory == "off":
            raise ValueError("record_calls needs memory: recordings are listed and deleted with their conversations")
        if self.record_inputs != "never" and self.memory == "off":
            raise ValueError("record_inputs needs memory: what is recorded is deleted with its conversation")
        return self

    @model_validator(mode="after")
    def _not_every_page(self) -> "Settings":
        if "*" in self.allowed_origins and not self.asks_for_keys:
            raise ValueError(
                "allowed_origins: * without keys would let every page that is open in a browser here use Morgan"
            )
        return self

    @model_validator(mode="after")
    def _one_provider(self) -> "Settings":
        if sum((bool(self.jwt_secret.get_secret_value()), bool(self.jwt_public_key), bool(self.jwt_jwks_url))) > 1:
            raise ValueError("set one of jwt_secret, jwt_public_key and jwt_jwks_url")
        if self.jwt_jwks_url and not (self.jwt_issuer and self.jwt_audience):
            raise ValueError(
                "jwt_jwks_url needs jwt_issuer and jwt_audience: the provider signs JWTs for others with the same keys"
            )
        return self

    @model_validator(mode="after")
    def _guarded(self) -> "Settings":
        if not self.asks_for_keys and not is_loopback(self.host):
            raise ValueError(
                f"host is {self.host}, which strangers can reach, and there are no api_keys. Set MORGAN_API_KEYS (for "
                "example to the output of `openssl rand -hex 24`) and give callers the key, make keys with "
                "`morgan keys add`, set MORGAN_JWT_*, or listen on localhost"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment over what is handed in: the TOML file comes in as the defaults of this installation."""
        return env_settings, init_settings

    @property
    def expected_language(self) -> str | None:
        """What callers most likely speak of whom nothing else is known; None for no idea."""
        return self.language or next(iter(self.languages), None)

    @property
    def media_address(self) -> str:
        """Where the UDP port is bound; empty for all addresses."""
        if self.media_host:
            return "127.0.0.1" if self.media_host == "localhost" else self.media_host
        try:
            host = ipaddress.ip_address(self.host)
        except ValueError:
            return ""
        return "" if host.is_loopback or host.is_unspecified else self.host

    def service_urls(self, service: str) -> tuple[str, ...]:
        """Where a service is that this process uses from others; none where it has the engine itself.

        Args:
            service: "llm", "tts" or "stt".
        """
        urls: tuple[str, ...] = getattr(self, f"{service}_url")
        # A service has its engine itself, whatever the variables say that it shares with the core.
        return urls if takes_calls(self.role) else ()

    @property
    def asks_for_keys(self) -> bool:
        """Whether somebody without a key, a JWT or a token is turned away."""
        provider = bool(self.jwt_secret.get_secret_value() or self.jwt_public_key or self.jwt_jwks_url)
        of_cores = bool(self.service_key.get_secret_value()) and not takes_calls(self.role)
        return bool(self.api_keys) or provider or of_cores or (self.data_dir / KEYS_FILE).exists()

    @property
    def key_for_services(self) -> str:
        """What is shown to them; empty for none."""
        keys = (self.service_key, *self.api_keys)
        return next((key.get_secret_value() for key in keys if key.get_secret_value()), "")

    def shown(self) -> dict[str, Any]:
        """The settings for people to read, secrets hidden."""
        return self.model_dump(mode="json")


def load_settings(overrides: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings.

    Args:
        overrides: from the command line; None values are left out.
        environ: the environment; that of the process when not given.

    Raises:
        SettingsError: something does not fit; the message lists all of it.
    """
    environ = os.environ if environ is None else environ
    _refuse_unknown(environ)
    values = _read_toml(environ)
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    try:
        # The command line wins over the environment, so it is handed in as if it were part of it.
        settings = Settings(**values)
        return settings if not given else Settings.model_validate({**_explicit(settings), **given})
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None
    except pydantic_settings.SettingsError as error:
        raise SettingsError(f"{error}: it must be JSON") from None


def _explicit(settings: Settings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in settings.model_fields_set}


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for name in environ:
        if not name.startswith(PREFIX) or name in FOREIGN or name.split(NESTED)[0] in known:
            continue
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise SettingsError(f"{name} is not a setting{hint}; `morgan doctor --config` lists them all")


def _read_toml(environ: Mapping[str, str]) -> dict[str, Any]:
    named = environ.get("MORGAN_CONFIG")
    path = Path(named).expanduser() if named else Path("~/.config/morgan/morgan.toml").expanduser()
    if not named and not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise SettingsError(f"MORGAN_CONFIG: {path} cannot be read: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not TOML: {error}") from None


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        lines.append(f"{name}: {message}" if name else message)
    return "\n".join(lines)
