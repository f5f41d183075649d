"""Language models of others: what OpenAI-compatible endpoints have, and which run on this machine."""

import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import httpx2

from server.settings import SettingsError

PATIENCE_S = 5.0
LOCAL_PATIENCE_S = 0.5

LOCAL: Mapping[str, str] = {
    "Ollama": "http://localhost:11434/v1",
    "LM Studio": "http://localhost:1234/v1",
    "llama.cpp server": "http://localhost:8080/v1",
    "vLLM": "http://localhost:8000/v1",
}
"""Where programs listen that people run language models with, unless they are told otherwise."""

OWNERS: Mapping[str, str] = {"vLLM": "vllm"}
"""What `owned_by` of a program's models is, where others are likely to answer in its place, as Morgan is."""


class Cloud(NamedTuple):
    """A language model elsewhere that OpenAI's protocol reaches.

    Attributes:
        name: of the service.
        key: environment variable in which its users have their key.
        url: of its root, up to and with the version.
    """

    name: str
    key: str
    url: str


CLOUDS: tuple[Cloud, ...] = (
    Cloud("OpenAI", "OPENAI_API_KEY", "https://api.openai.com/v1"),
    Cloud("Google Gemini", "GEMINI_API_KEY", "https://generativelanguage.googleapis.com/v1beta/openai"),
    Cloud("Groq", "GROQ_API_KEY", "https://api.groq.com/openai/v1"),
    Cloud("Mistral", "MISTRAL_API_KEY", "https://api.mistral.ai/v1"),
    Cloud("OpenRouter", "OPENROUTER_API_KEY", "https://openrouter.ai/api/v1"),
    Cloud("Together", "TOGETHER_API_KEY", "https://api.together.xyz/v1"),
)


def models_at(url: str, timeout_s: float = PATIENCE_S) -> list[str]:
    """Names of the models at an endpoint, those first that local servers have loaded.

    Args:
        url: of its root, up to and with the version.
        timeout_s: patience.

    Raises:
        SettingsError: it does not tell.
    """
    return [str(each["id"]) for each in _listed(url, timeout_s)]


def _listed(url: str, timeout_s: float) -> list[dict[str, Any]]:
    """The models at an endpoint as it tells of them. Raises as `models_at`."""
    key = os.environ.get("MORGAN_LLM_API_KEY", "")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        answer = httpx2.get(f"{url}/models", headers=headers, timeout=timeout_s, follow_redirects=True)
        answer.raise_for_status()
        return [{**each, "id": str(each["id"])} for each in answer.json()["data"]]
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error) or type(error).__name__
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
            listed = _listed(url, LOCAL_PATIENCE_S)
        except SettingsError:
            continue
        owner = OWNERS.get(program)
        models = [each["id"] for each in listed if owner in (None, each.get("owned_by"))]
        if models:
            found[program] = url, models
    return found


def clouds_known(environ: Mapping[str, str] = os.environ) -> Iterator[Cloud]:
    """Services of which there is a key in the environment; they are not asked."""
    return (cloud for cloud in CLOUDS if environ.get(cloud.key))
