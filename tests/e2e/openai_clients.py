"""OpenAI's own clients, with nothing changed but where they call."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.npm_clients import packages

OPENAI_SETUP = "import OpenAI, { toFile } from 'openai';\nconst client = new OpenAI(options);\n"
AI_SDK_SETUP = """
import { createOpenAI } from '@ai-sdk/openai';
import * as ai from 'ai';
import { z } from 'zod';
const client = createOpenAI(options);
"""


@dataclass(frozen=True, slots=True)
class NodeClient:
    """Packages of npm, for programs in a folder.

    Attributes:
        folder: of the programs.
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


def install_node_client(folder: Path, base_url: str, api_key: str = "none", setup: str = OPENAI_SETUP) -> NodeClient:
    """A client for a folder of a test, OpenAI's by default; skips the test where it cannot be had, except in CI."""
    (folder / "node_modules").symlink_to(packages() / "node_modules")
    return NodeClient(folder, base_url, api_key, setup)
