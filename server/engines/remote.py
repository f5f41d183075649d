"""Engines of services in other processes, as the settings name them."""

from collections.abc import Callable
from typing import Any

from pipeline.engines.protocols import Engine, EngineUnavailableError
from pipeline.engines.remote.llm import RemoteEmbedder, RemoteLanguageModel
from pipeline.engines.remote.look_up import look_up
from pipeline.engines.remote.reply import ServiceOptions
from pipeline.engines.remote.service import RemoteService
from pipeline.engines.remote.stt import RemoteSpeechToText
from pipeline.engines.remote.tts import RemoteTextToSpeech
from server.settings import Settings


class RemoteEngines:
    """Builds them; what a service has (its model, its voices) is asked when the engine is built, which blocks.

    Args:
        settings: where the services are.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # Shared by the language model and the embedder, which load side by side.
        self._llm = self._service("llm") if settings.service_urls("llm") else None

    def builders(self) -> dict[str, Callable[[], Engine]]:
        """How each engine is built that is elsewhere, by role. They raise `EngineUnavailableError`."""
        made: dict[str, Callable[[], Engine]] = {}
        if self._settings.service_urls("stt"):
            made["stt"] = lambda: RemoteSpeechToText(self._service("stt"), self._health("stt"))
        if self._settings.service_urls("tts"):
            made["tts"] = lambda: RemoteTextToSpeech(
                self._service("tts"), self._health("tts"), self._look_up("tts", "/voices")
            )
        if (llm := self._llm) is not None:
            made["llm"] = lambda: RemoteLanguageModel(llm, self._health("llm"))
            if self._settings.embedder_engine != "none":
                made["embedder"] = lambda: self._embedder(llm)
        return made

    def _embedder(self, service: RemoteService) -> RemoteEmbedder:
        told = self._health("llm").get("embedder")
        if not isinstance(told, dict):
            raise EngineUnavailableError(
                "the llm service has no embedder: set MORGAN_EMBEDDER_ENGINE there, or set it to none here too"
            )
        return RemoteEmbedder(service, told)

    def _service(self, name: str) -> RemoteService:
        options = ServiceOptions(api_key=self._settings.key_for_services)
        return RemoteService(name, self._settings.service_urls(name), options)

    def _health(self, name: str) -> dict[str, Any]:
        told = self._look_up(name, "/health")
        urls = ", ".join(self._settings.service_urls(name))
        if told.get("service") == name and "engine" not in told:
            raise EngineUnavailableError(
                f"{urls} takes us for a stranger: MORGAN_SERVICE_KEY must be the same there, or the first of "
                "MORGAN_API_KEYS one of that service's"
            )
        if told.get("service") != name:
            raise EngineUnavailableError(f"{urls} is no {name} service of Morgan; check MORGAN_{name.upper()}_URL")
        return told

    def _look_up(self, name: str, path: str) -> dict[str, Any]:
        settings = self._settings
        urls = settings.service_urls(name)
        return look_up(name, urls, path, settings.key_for_services, settings.service_wait_s)
