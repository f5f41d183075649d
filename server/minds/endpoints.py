"""Language models of others: what OpenAI-compatible endpoints have, and which run on this machine."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping

from server.settings import SettingsError

PATIENCE_S = 5.0
LOCAL_PATIENCE_S = 0.5

LOCAL: Mapping[str, str] = {
    "Ollama": "http://localhost:11434/v1",
    "LM Studio": "http://localhost:1234/v1",
    "llama.cpp server": "http://localhost:8080/v1",
}
"""Where programs listen that people run language models with, unless they are told otherwise."""


def models_at(url: str, timeout_s: float = PATIENCE_S) -> list[str]:
    """Names of the models at an endpoint, those first that local servers have loaded.

    Args:
        url: of its root, up to and with the version.
        timeout_s: patience.

    Raises:
        SettingsError: it does not tell.
    """
    key = os.environ.get("MORGAN_LLM_API_KEY", "")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(f"{url}/models", headers=headers)  # noqa: S310 - callers check the scheme
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310 - likewise
            return [str(each["id"]) for each in json.load(answer)["data"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise SettingsError(f"{url}/models does not tell which models there are: {reason}") from None


def first_model(url: str) -> str:
    """Name of the first model at an endpoint. Raises as `models_at`, also where there is none."""
    try:
        return models_at(url)[0]
    except IndexError:
        raise SettingsError(f"{url} has no models; name one with --model") from None


def found_here(places: Mapping[str, str] | None = None) -> dict[str, tuple[str, list[str]]]:
    """Programs that answer on this machine (`LOCAL`, unless others are named): by name, the URL and the models."""
    found = {}
    for program, url in (LOCAL if places is None else places).items():
        try:
            models = models_at(url, LOCAL_PATIENCE_S)
        except SettingsError:
            continue
        if models:
            found[program] = url, models
    return found
