"""Smallest local Pipecat 1.14.0 voice bot, for side by side measurement.

SmallWebRTC + Silero VAD + Smart Turn v3 (Pipecat's default end of turn) + faster-whisper +
OpenAI-compatible LLM + Piper (or Kokoro).

  pip install "pipecat-ai[webrtc,whisper,piper,kokoro]==1.14.0" fastapi uvicorn
  WHISPER=models/whisper-base PIPER_DIR=models/piper PIPER_VOICE=en_US-joe-medium \
  LLM_URL=http://127.0.0.1:9001/v1 LLM_MODEL=x python bench/peers/pipecat_bot.py     # :7861

POST  /api/offer {"sdp","type":"offer"[,"pc_id","restart_pc","request_data"]} -> {"sdp","type":"answer","pc_id"}
PATCH /api/offer {"pc_id","candidates":[{"candidate","sdp_mid","sdp_mline_index"}]} -> {"status":"success"}
The first transceiver of the offer must be the audio one. A data channel is optional; once the
client has sent "ping" on it, it must go on doing so at least every 3 s or it counts as gone.
"""

import functools
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import BackgroundTasks, FastAPI
from loguru import logger
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADParams
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.services.piper.tts import PiperTTSService
from pipecat.services.whisper.stt import WhisperSTTService
from pipecat.transports.base_transport import TransportParams
from pipecat.transports.smallwebrtc.connection import SmallWebRTCConnection
from pipecat.transports.smallwebrtc.request_handler import (
    SmallWebRTCPatchRequest,
    SmallWebRTCRequest,
    SmallWebRTCRequestHandler,
)
from pipecat.transports.smallwebrtc.transport import SmallWebRTCTransport
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.workers.runner import WorkerRunner
from piper import PiperVoice

env = os.environ.get
logger.remove()
logger.add(sys.stderr, level=env("LOG", "WARNING"))

if env("SHARE_MODELS", "1") == "1":  # generous to Pipecat, which loads every model once per call
    PiperVoice.load = functools.lru_cache(maxsize=None)(PiperVoice.load)  # type: ignore[method-assign]


class Whisper(WhisperSTTService):
    """WhisperSTTService with the model kept between calls (SHARE_MODELS=0: stock behaviour)."""

    shared: Any = None
    _model: Any

    def _load(self) -> None:
        if Whisper.shared is None or env("SHARE_MODELS", "1") != "1":
            super()._load()
            Whisper.shared = self._model
        self._model = Whisper.shared


def make_tts() -> Any:
    """Piper, or Kokoro with TTS=kokoro."""
    if env("TTS", "piper") == "kokoro":
        from pipecat.services.kokoro.tts import KokoroTTSService

        return KokoroTTSService(
            model_path=env("KOKORO_MODEL"),
            voices_path=env("KOKORO_VOICES"),
            settings=KokoroTTSService.Settings(voice=env("KOKORO_VOICE", "af_heart")),
        )
    return PiperTTSService(
        download_dir=Path(env("PIPER_DIR", "models/piper")),
        settings=PiperTTSService.Settings(voice=env("PIPER_VOICE", "en_US-joe-medium")),
    )


async def run_bot(connection: SmallWebRTCConnection) -> None:
    """One call."""
    transport = SmallWebRTCTransport(connection, TransportParams(audio_in_enabled=True, audio_out_enabled=True))
    stt = Whisper(
        device="cpu",
        compute_type=env("WHISPER_COMPUTE", "int8"),
        settings=WhisperSTTService.Settings(model=env("WHISPER", "models/whisper-base")),
    )
    llm = OpenAILLMService(
        api_key="none",
        base_url=env("LLM_URL", "http://127.0.0.1:9001/v1"),
        settings=OpenAILLMService.Settings(
            model=env("LLM_MODEL", "local"),
            system_instruction="You are a voice assistant. Answer briefly, in plain words.",
        ),
    )
    # TURN=smart (default strategies: Smart Turn v3) or TURN=0.3 (plain timeout after VAD stop).
    turn = env("TURN", "smart")
    strategies = (
        None
        if turn == "smart"
        else UserTurnStrategies(stop=[SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=float(turn))])
    )
    user, assistant = LLMContextAggregatorPair(
        LLMContext(),
        user_params=LLMUserAggregatorParams(
            vad_analyzer=SileroVADAnalyzer(params=VADParams(min_volume=float(env("MIN_VOLUME", "0.6")))),
            user_turn_strategies=strategies,
        ),
    )
    worker = PipelineWorker(
        Pipeline([transport.input(), stt, user, llm, make_tts(), transport.output(), assistant]),
        params=PipelineParams(enable_metrics=True),
    )

    @transport.event_handler("on_client_disconnected")
    async def on_client_disconnected(_transport: Any, _client: Any) -> None:
        await worker.cancel()

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()


handler = SmallWebRTCRequestHandler()


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Close the calls at the end."""
    yield
    await handler.close()


app = FastAPI(lifespan=lifespan)


@app.post("/api/offer")
async def offer(request: SmallWebRTCRequest, background: BackgroundTasks) -> Any:
    """Take a call."""

    async def on_connection(connection: SmallWebRTCConnection) -> None:
        background.add_task(run_bot, connection)

    return await handler.handle_web_request(request, on_connection)


@app.patch("/api/offer")
async def ice_candidate(request: SmallWebRTCPatchRequest) -> dict[str, str]:
    """Take trickled candidates."""
    await handler.handle_patch_request(request)
    return {"status": "success"}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(env("PORT", "7861")), log_level="warning")
