"""A bot of Pipecat on its OpenAIRealtimeLLMService, between its own transports: it uses its tool and is interrupted.

Runs in the environment of .ci/python-clients: pipecat_session.py URL QUESTION INTERRUPTION, the last two being files
with PCM16 at 24 kHz. Prints what came of it as JSON.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from loguru import logger
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    InputAudioRawFrame,
    InterruptionFrame,
    LLMRunFrame,
    OutputAudioRawFrame,
    StartFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.services.llm_service import FunctionCallParams
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.workers.runner import WorkerRunner

RATE = 24_000
FRAME_S = 0.02
PATIENCE_S = 90.0
FRAME_BYTES = round(RATE * FRAME_S) * 2

cities: list[str] = []

logger.remove()


class Microphone(BaseInputTransport):
    """A microphone that is on: what it is given it says in real time, and silence for the rest."""

    def __init__(self, params: TransportParams) -> None:
        super().__init__(params)
        self._to_say = bytearray()
        self._voice: Any = None

    def say(self, sound: bytes) -> None:
        """Say something."""
        self._to_say += sound

    async def start(self, frame: StartFrame) -> None:
        """Be on."""
        await super().start(frame)
        await self.set_transport_ready(frame)
        self._voice = self.create_task(self._speak())

    async def stop(self, frame: EndFrame) -> None:
        """Be off."""
        await self.cancel_task(self._voice)
        await super().stop(frame)

    async def _speak(self) -> None:
        began, frames = time.monotonic(), 0
        while True:
            data = bytes(self._to_say[:FRAME_BYTES]).ljust(FRAME_BYTES, b"\0")
            del self._to_say[:FRAME_BYTES]
            await self.push_audio_frame(InputAudioRawFrame(data, RATE, 1))
            frames += 1
            await asyncio.sleep(max(0.0, began + frames * FRAME_S - time.monotonic()))


class Loudspeaker(BaseOutputTransport):
    """Plays in real time what it is given."""

    def __init__(self, params: TransportParams) -> None:
        super().__init__(params)
        self.played_s = 0.0
        self.interruptions = 0

    async def start(self, frame: StartFrame) -> None:
        """Be on."""
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def process_frame(self, frame: Any, direction: Any) -> None:
        """Counts interruptions."""
        if isinstance(frame, InterruptionFrame):
            self.interruptions += 1
        await super().process_frame(frame, direction)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        """More was to be heard."""
        seconds = len(frame.audio) / 2 / frame.sample_rate
        if any(frame.audio):
            self.played_s += seconds
        await asyncio.sleep(seconds)
        return True


async def weather(params: FunctionCallParams) -> None:
    """The tool."""
    cities.append(str(params.arguments["city"]))
    await params.result_callback("it is 21 degrees")


async def until(condition: Callable[[], Any]) -> None:
    """Wait for something to be so."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s in vain"
        await asyncio.sleep(0.02)


async def main(url: str, question: bytes, interruption: bytes) -> dict[str, Any]:
    """Talk."""
    complaints: list[str] = []
    logger.add(lambda message: complaints.append(str(message)), level="WARNING", format="{message}")
    params = TransportParams(
        audio_in_enabled=True, audio_out_enabled=True, audio_in_sample_rate=RATE, audio_out_sample_rate=RATE
    )
    microphone, loudspeaker = Microphone(params), Loudspeaker(params)
    parameters = {"city": {"type": "string"}}
    tool = FunctionSchema("weather", "The weather of a city, now.", properties=parameters, required=["city"])
    settings = OpenAIRealtimeLLMService.Settings(model="x", system_instruction="Be brief.")
    llm = OpenAIRealtimeLLMService(api_key="none", base_url=url, settings=settings)
    llm.register_function("weather", weather)
    context = LLMContext([{"role": "user", "content": "Hello there."}], ToolsSchema([tool]))
    user, assistant = LLMContextAggregatorPair(context)
    worker = PipelineWorker(
        Pipeline([microphone, user, llm, loudspeaker, assistant]),
        params=PipelineParams(audio_in_sample_rate=RATE, audio_out_sample_rate=RATE),
    )
    errors: list[str] = []

    @worker.event_handler("on_pipeline_error")
    async def on_pipeline_error(_: Any, frame: ErrorFrame) -> None:
        errors.append(frame.error)

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    # It begins, with its tool.
    await worker.queue_frame(LLMRunFrame())
    await until(lambda: cities and loudspeaker.played_s > 1)
    microphone.say(interruption)
    await until(lambda: loudspeaker.interruptions)
    before_s = loudspeaker.played_s
    await until(lambda: loudspeaker.played_s > before_s + 1)
    # Spoken to over that answer.
    microphone.say(question)
    await until(lambda: loudspeaker.interruptions > 1)
    before_s = loudspeaker.played_s
    await until(lambda: loudspeaker.played_s > before_s + 1)
    gone = await retrieved(llm, "nobody")
    await worker.queue_frame(EndFrame())
    await running
    return {"cities": cities, "errors": errors, "complaints": complaints, "gone": gone, "items": context.get_messages()}


async def retrieved(llm: OpenAIRealtimeLLMService, item_id: str) -> str:
    """What it is told of an item that is not there."""
    try:
        return str(await llm.retrieve_conversation_item(item_id))
    except Exception as error:
        return str(error)


if __name__ == "__main__":
    told = asyncio.run(main(sys.argv[1], *(Path(name).read_bytes() for name in sys.argv[2:4])))
    print(json.dumps(told))
