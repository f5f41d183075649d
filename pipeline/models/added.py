"""Language models that were named on this machine: a GGUF file of any repository of the hub.

The hub tells size, sha256 and commit of the file; they are kept beside the weights, and from then on the model is one
of the manifest, fetched and verified as the others are.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2

from pipeline.models.errors import FetchError, ManifestError
from pipeline.models.hub import Hub
from pipeline.models.manifest import Manifest, Model

PREFIX = "hf:"
FILE = "added-models.json"

_NAME = re.compile(r"([\w.-]+/[\w.-]+)/([\w./-]+\.gguf)")
_PATIENCE_S = 15.0


def add_from_hub(root: Path, name: str, hub: Hub) -> Model:
    """Make a file of the hub known, under an id of its own; nothing is fetched yet.

    Args:
        root: the folder of weights.
        name: "hf:owner/repository/file.gguf".
        hub: where it is.

    Raises:
        FetchError: the hub does not answer or has no such file, or the name is none.
    """
    match = _NAME.fullmatch(name.removeprefix(PREFIX))
    if match is None:
        raise FetchError(f"{name} is not of the form hf:owner/repository/file.gguf")
    repository, path = match.groups()
    table = _described(hub, repository, path)
    model = Manifest.parse({"schema": 1, "model": [table]}).models[0]
    kept = [each for each in _read(root) if each["id"] != model.id]
    try:
        root.mkdir(parents=True, exist_ok=True)
        part = root / f"{FILE}.part"
        part.write_text(json.dumps([*kept, table], indent=2), encoding="utf-8")
        part.replace(root / FILE)
    except OSError as error:
        raise FetchError(f"{root / FILE} cannot be written: {error.strerror or error}") from error
    return model


def with_added(manifest: Manifest, root: Path) -> Manifest:
    """The manifest, and the models that were made known on this machine.

    Raises:
        ManifestError: what was kept of them cannot be read.
    """
    known = {model.id for model in manifest.models}
    added = Manifest.parse({"schema": 1, "model": _read(root)}).models
    return Manifest((*manifest.models, *(model for model in added if model.id not in known)))


def _read(root: Path) -> list[dict[str, Any]]:
    try:
        kept = json.loads((root / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise ManifestError(f"{root / FILE} cannot be read ({error}): delete it, and add the models again") from error
    if not isinstance(kept, list) or not all(isinstance(each, dict) and "id" in each for each in kept):
        raise ManifestError(f"{root / FILE} is no list of models: delete it, and add the models again")
    return kept


def _described(hub: Hub, repository: str, path: str) -> dict[str, Any]:
    """What the hub tells of a file, as a table of the manifest."""
    told = _asked(hub, repository)
    found = next((each for each in told.get("siblings", ()) if each.get("rfilename") == path), None)
    if found is None:
        files = [each["rfilename"] for each in told.get("siblings", ()) if each.get("rfilename", "").endswith(".gguf")]
        raise FetchError(f"{repository} has no {path}; it has {', '.join(files[:20]) or 'no GGUF file'}")
    large = found.get("lfs") or {}
    if not large.get("sha256") or not told.get("sha"):
        raise FetchError(f"{hub.endpoint} tells no sha256 of {path} in {repository}")
    stem = path.rpartition("/")[2].removesuffix(".gguf")
    return {
        "id": re.sub(r"[^A-Za-z0-9._-]+", "-", f"{repository.partition('/')[0]}-{stem}").lower(),
        "role": "llm",
        "default": False,
        "title": stem,
        "licence": str((told.get("cardData") or {}).get("license") or "unknown: see its page on the hub"),
        "upstream": repository,
        "hub": {"repository": repository, "revision": str(told["sha"])},
        "file": [
            {
                "path": f"{stem}.gguf",
                "hub_path": path,
                "size": int(large.get("size") or found["size"]),
                "sha256": str(large["sha256"]),
            }
        ],
    }


def _asked(hub: Hub, repository: str) -> Mapping[str, Any]:
    url = f"{hub.endpoint}/api/models/{repository}"
    if not hub.reachable():
        raise FetchError(f"{hub.endpoint} does not answer")
    try:
        answer = httpx2.get(
            url, params={"blobs": "true"}, headers=hub.headers(), timeout=_PATIENCE_S, follow_redirects=True
        )
        answer.raise_for_status()
        told = answer.json()
    except httpx2.HTTPStatusError as error:
        raise FetchError(f"{url} answers {error.response.status_code} {error.response.reason_phrase}") from error
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        raise FetchError(f"{url}: {error or type(error).__name__}") from error
    return told if isinstance(told, dict) else {}
