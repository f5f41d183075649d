"""OpenAI's own clients, with nothing changed but where they call."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import lacking

NODE_PACKAGE = "openai@6"


@dataclass(frozen=True, slots=True)
class NodeClient:
    """The `openai` package of npm, in a folder of its own.

    Attributes:
        folder: where it is installed.
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
    """Install it; skips the test where there is no Node, except in CI."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            lacking(f"{tool} is not installed, so OpenAI's client for Node cannot be tested (Debian: nodejs, npm).")
    (folder / "package.json").write_text('{"private": true}')
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", NODE_PACKAGE]
    environment = {**os.environ, "npm_config_update_notifier": "false"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, env=environment)
    if done.returncode != 0:
        lacking(f"npm could not install {NODE_PACKAGE}: {done.stderr[-1000:]}")
    return NodeClient(folder, base_url, api_key)
