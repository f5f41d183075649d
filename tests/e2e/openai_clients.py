"""OpenAI's own clients, with nothing changed but where they call."""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import lacking

NODE_PACKAGE = "openai@6"
AI_SDK_PACKAGES = ("ai", "@ai-sdk/openai", "zod")

OPENAI_SETUP = "import OpenAI, { toFile } from 'openai';\nconst client = new OpenAI(options);\n"
AI_SDK_SETUP = """
import { createOpenAI } from '@ai-sdk/openai';
import * as ai from 'ai';
import { z } from 'zod';
const client = createOpenAI(options);
"""


@dataclass(frozen=True, slots=True)
class NodeClient:
    """Packages of npm, in a folder of their own.

    Attributes:
        folder: where they are installed.
        base_url: of the API that they call.
        api_key: that they send.
        setup: makes `client` of `options`.
    """

    folder: Path
    base_url: str
    api_key: str
    setup: str = OPENAI_SETUP

    def run(self, script: str) -> Any:
        """Run the body of an async function that has `client`, `fs`, and what `setup` imports; its result, as JSON."""
        program = self.folder / "program.mjs"
        options = json.dumps({"baseURL": self.base_url, "apiKey": self.api_key})
        program.write_text(
            f"import fs from 'node:fs';\nconst options = {options};\n{self.setup}"
            f"const told = await (async () => {{\n{script}\n}})();\n"
            "process.stdout.write(JSON.stringify(told ?? null));\n"
        )
        done = subprocess.run(["node", program.name], cwd=self.folder, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(done.stdout)


def install_node_client(
    folder: Path,
    base_url: str,
    api_key: str = "none",
    packages: Sequence[str] = (NODE_PACKAGE,),
    setup: str = OPENAI_SETUP,
) -> NodeClient:
    """Install packages, OpenAI's by default; skips the test where there is no Node, except in CI."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            lacking(f"{tool} is not installed, so OpenAI's client for Node cannot be tested (Debian: nodejs, npm).")
    (folder / "package.json").write_text('{"private": true}')
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", *packages]
    environment = {**os.environ, "npm_config_update_notifier": "false"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, env=environment)
    if done.returncode != 0:
        lacking(f"npm could not install {', '.join(packages)}: {done.stderr[-1000:]}")
    return NodeClient(folder, base_url, api_key, setup)
