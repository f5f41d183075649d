"""Look-up of what a service in another process has, when the engines are built."""

import time
from collections.abc import Sequence
from typing import Any

import httpx2

from pipeline.engines.protocols import EngineUnavailableError
from pipeline.engines.remote.reply import short

RETRY_S = 0.2
"""Pause between two rounds."""


def look_up(name: str, urls: Sequence[str], path: str, api_key: str, patience_s: float) -> dict[str, Any]:
    """What the first server that answers tells at a path. Blocks: for the start.

    Args:
        name: of the service.
        urls: of its servers' roots.
        path: such as "/health".
        api_key: empty for none.
        patience_s: how long to wait for a server to come up.

    Raises:
        EngineUnavailableError: none answered in time, or one refused; the message says what to do.
    """
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    until = time.monotonic() + patience_s
    with httpx2.Client(timeout=2.0, headers=headers, trust_env=False) as client:
        while True:
            problems = []
            for url in urls:
                try:
                    response = client.get(url.rstrip("/") + path)
                    if response.status_code in (401, 403):
                        raise EngineUnavailableError(
                            f"{url} refused the key: MORGAN_SERVICE_KEY, or the first of MORGAN_API_KEYS, must be one "
                            "of that service's MORGAN_API_KEYS"
                        )
                    response.raise_for_status()
                    told = response.json()
                    if isinstance(told, dict):
                        return told
                    problems.append(f"{url}: not a Morgan")
                except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
                    problems.append(f"{url}: {short(error)}")
            if time.monotonic() >= until:
                raise EngineUnavailableError(
                    f"The {name} service did not answer within {patience_s:.0f} s ({'; '.join(problems)}). Start it "
                    f"(morgan serve --role {name}), or check MORGAN_{name.upper()}_URL"
                )
            time.sleep(RETRY_S)
