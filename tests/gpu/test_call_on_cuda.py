"""A call whose engines choose where they compute."""

from pathlib import Path

import aiohttp
import numpy as np
import pytest

from bench.gpu_place import Place
from bench.own_server import OwnServer, get_json
from pipeline.engines.llm.llama_builds import ANY_ID, CUDA_ID
from server.cli.call import place_call, read_audio
from tests.gpu.weights import MODELS, needs

SAID = Path(__file__).parents[2] / "pipeline" / "engines" / "stt" / "how_are_you.wav"
"""The clip that comes with the package."""

START_S = 150.0
"""The driver compiles llama.cpp's kernels at the first start, and the self-check measures."""


@pytest.mark.timeout(400)
async def test_a_caller_is_answered_by_engines_that_chose_the_gpu(on_gpu: Place, tmp_path: Path) -> None:
    needs(ANY_ID, CUDA_ID, "whisper-base", "smollm2-135m-instruct", "piper-en_US-joe-medium", "smart-turn-v3.2")
    server = OwnServer(tmp_path / "data", MORGAN_MODELS_DIR=str(MODELS))
    took = await server.start(START_S)
    try:
        async with aiohttp.ClientSession() as http:
            reports = [await place_call(read_audio(SAID), server.url, timeout=60) for _ in range(2)]
            health = await get_json(http, f"{server.url}/health")
    finally:
        await server.stop()
    parts = {role: part for role, part in health["components"].items() if "device" in part}
    print(f"\nready after {took:.1f} s")
    for role, part in parts.items():
        print(f"{role}: {part['engine']} on {part['device']}, {part['device_reason']}")
    for report, _ in reports:
        print(report)
    assert parts["stt"]["device"] == parts["llm"]["device"] == "cuda"
    for report, heard in reports:
        assert "how are you" in report.transcript.lower()
        assert report.reply
        assert np.abs(heard.astype(np.float32)).max() > 1000
