"""OpenAI's own clients, with nothing changed but where they call."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.npm_clients import packages


@dataclass(frozen=True, slots=True)
class NodeClient:
    """The `openai` package of npm, for programs in a folder.

    Attributes:
        folder: of the programs.
        base_url: of the API that it calls.
        api_key: that it sends.
    """

    folder: Path
    base_url: str
    api_key: str

    def run(self, script: str) -> Any:
        """Run the body of an async function that has `client`, `fs` and `toFile`; gives what it returns, as JSON."""
        program = self.folder / "program.mjs"
        options = json.dumps({"baseURL": self.base_url, "apiKey": self.api_key})
        program.write_text(
            "import fs from 'node:fs';\n"
            "import OpenAI, { toFile } from 'openai';\n"
            f"const client = new OpenAI({options});\n"
            f"const told = await (async () => {{\n{script}\n}})();\n"
            "process.stdout.write(JSON.stringify(told ?? null));\n"
        )
        done = subprocess.run(["node", program.name], cwd=self.folder, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(done.stdout)


def install_node_client(folder: Path, base_url: str, api_key: str = "none") -> NodeClient:
    """The client for a folder of a test; skips the test where it cannot be had, except in CI."""
    (folder / "node_modules").symlink_to(packages() / "node_modules")
    return NodeClient(folder, base_url, api_key)
