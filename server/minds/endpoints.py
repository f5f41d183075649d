"""Language models of others: what an OpenAI-compatible endpoint has."""

import json
import os
import urllib.error
import urllib.request

from server.settings import SettingsError

PATIENCE_S = 5.0


def first_model(url: str) -> str:
    """Name of the first model at an endpoint, which local servers have loaded.

    Args:
        url: of its root, up to and with the version.

    Raises:
        SettingsError: it does not tell.
    """
    key = os.environ.get("MORGAN_LLM_API_KEY", "")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with urllib.request.urlopen(  # noqa: S310 - the caller checks the scheme
            urllib.request.Request(f"{url}/models", headers=headers),  # noqa: S310
            timeout=PATIENCE_S,
        ) as answer:
            listed = json.load(answer)["data"]
            return str(listed[0]["id"])
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise SettingsError(
            f"{url}/models does not tell which models there are ({reason}); name one with --model"
        ) from None
