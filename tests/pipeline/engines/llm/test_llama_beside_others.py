"""The native build of llama.cpp in a process where other libraries use the same instructions (tiles of AMX)."""

import os
import subprocess
import sys
from pathlib import Path

TALKS = """
import asyncio, sys
from pathlib import Path

import numpy as np

from pipeline.engines.llm.llama_cpp import LlamaCppLanguageModel, LlamaOptions
from pipeline.engines.protocols import ChatRequest, Message
from pipeline.engines.stt.faster_whisper import FasterWhisper
from pipeline.engines.tts.piper import Piper
from pipeline.engines.turn.smart_turn import SmartTurn
from pipeline.engines.vad.silero import SileroVad
from pipeline.scheduling.lanes import Ticket

models, library, replies = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
AUDIO = np.random.default_rng(1).normal(0, 0.05, 32_000).astype(np.float32)


async def others(over, vad, turn, stt, tts):
    stream, heard = vad.open_stream(), 0
    while not over.is_set():
        stream.probability(AUDIO[:512])
        await turn.completeness(AUDIO, Ticket())
        await stt.transcribe(AUDIO, Ticket())
        async for _ in tts.synthesize("Good morning.", Ticket()):
            pass
        heard += 1
    return heard


async def main():
    turn = SmartTurn(models / "smart-turn-v3.2")
    vad = SileroVad(models / "silero-vad-v6")
    stt = FasterWhisper(models / "whisper-tiny.en", lanes=2)
    tts = Piper(models / "piper-en_US-joe-medium")
    # Two: a model that takes the place of another has a thread of its own.
    minds = [
        LlamaCppLanguageModel(LlamaOptions(models / "smollm2-135m-instruct", library=library, slots=2))
        for _ in range(2)
    ]
    assert minds[0].configuration["threads"] == 1
    over = asyncio.Event()
    busy = asyncio.create_task(others(over, vad, turn, stt, tts))
    said = 0
    for number in range(replies):
        request = ChatRequest((Message("user", f"Tell me a story about {number} foxes."),), f"talk-{number}", 16)
        async for delta in minds[number % 2].stream(request, Ticket()):
            said += bool(delta.text)
    over.set()
    heard = await busy
    for engine in (*minds, turn, vad, stt, tts):
        await engine.close()
    print(said > replies, heard > 0)

asyncio.run(main())
"""


def test_it_computes_beside_onnxruntime_and_ctranslate2(models_dir: Path, library_dir: Path, repository: Path) -> None:
    # In a process of its own, which an illegal instruction would end; MORGAN_TEST_REPLIES=300 makes minutes of it.
    replies = os.environ.get("MORGAN_TEST_REPLIES", "8")
    command = [sys.executable, "-c", TALKS, str(models_dir), str(library_dir), replies]
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    # Whisper's log is there, too.
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["True True"]), done.stderr
