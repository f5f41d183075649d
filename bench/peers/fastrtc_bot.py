"""Smallest local FastRTC 0.0.34 voice bot (ReplyOnPause), for side by side measurement.

  pip install "fastrtc[vad]==0.0.34" faster-whisper piper-tts openai uvicorn
  SILERO=/path/silero_vad.onnx WHISPER=models/whisper-base \
  PIPER=models/piper/en_US-joe-medium.onnx LLM_URL=http://127.0.0.1:9001/v1 \
  LLM_MODEL=x python bench/peers/fastrtc_bot.py          # :7862

POST /webrtc/offer {"sdp","type":"offer","webrtc_id"} -> {"sdp","type":"answer"}
POST /webrtc/offer {"type":"ice-candidate","webrtc_id","candidate":{"candidate","sdpMid","sdpMLineIndex"}}
Refusals are HTTP 200 with {"status":"failed","meta":{"error":...}}. The client MUST open a data
channel: the server's tracks wait for it before they read or send anything. Leave the "reply to
send_input" alone: this bot takes no extra arguments.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI
from faster_whisper import WhisperModel
from fastrtc import ReplyOnPause, Stream, get_current_context
from fastrtc.pause_detection.silero import SileroVADModel, SileroVadOptions
from openai import OpenAI
from piper import PiperVoice

env = os.environ.get
SYSTEM = "You are a voice assistant. Answer briefly, in plain words."


class LocalSilero(SileroVADModel):
    """FastRTC's own VAD fetches a v4 model from a hub; run a local v5/v6 file instead."""

    @staticmethod
    def download_model() -> str:
        return env("SILERO", "")

    def get_initial_state(self, batch_size: int) -> Any:
        return np.zeros((2, batch_size, 128), np.float32), np.zeros((batch_size, 64), np.float32)

    def __call__(self, x: Any, state: Any, sr: int) -> Any:
        hidden, context = state
        x = np.concatenate([context, np.asarray(x, np.float32).reshape(1, -1)], axis=1)
        out, hidden = self.session.run(None, {"input": x, "state": hidden, "sr": np.array(sr, dtype="int64")})
        return out, (hidden, x[:, -64:])


vad = LocalSilero()
whisper = WhisperModel(
    env("WHISPER", "models/whisper-base"),
    device="cpu",
    compute_type=env("WHISPER_COMPUTE", "int8"),
)
voice = PiperVoice.load(env("PIPER", "models/piper/en_US-joe-medium.onnx"))
llm = OpenAI(base_url=env("LLM_URL", "http://127.0.0.1:9001/v1"), api_key="none")
history: dict[str, list[Any]] = defaultdict(lambda: [{"role": "system", "content": SYSTEM}])


def sentences(stream: Any) -> Iterator[str]:
    """Cut the token stream at sentence ends."""
    text = ""
    for part in stream:
        if part.choices:
            text += part.choices[0].delta.content or ""
        while match := re.search(r"[.!?](?=\s)", text):
            yield text[: match.end()].strip()
            text = text[match.end() :]
    if text.strip():
        yield text.strip()


def reply(audio: Any) -> Iterator[Any]:
    """What is said to a turn, sentence by sentence."""
    _, samples = audio
    samples = samples.squeeze().astype(np.float32) / 32768
    # default beam size (5), as in Pipecat's WhisperSTTService
    segments, _ = whisper.transcribe(samples, language="en")
    heard = " ".join(s.text.strip() for s in segments)
    if not heard:
        return
    messages = history[get_current_context().webrtc_id]
    messages.append({"role": "user", "content": heard})
    stream = llm.chat.completions.create(model=env("LLM_MODEL", "local"), messages=messages, stream=True)
    said = []
    try:
        for sentence in sentences(stream):
            said.append(sentence)
            for chunk in voice.synthesize(sentence):
                yield chunk.sample_rate, chunk.audio_int16_array.reshape(1, -1)
    finally:
        messages.append({"role": "assistant", "content": " ".join(said)})


stream = Stream(
    ReplyOnPause(
        reply,
        model=vad,
        model_options=SileroVadOptions(window_size_samples=512),
        input_sample_rate=16000,  # the default is 48000, with librosa resampling per VAD chunk
        output_sample_rate=24000,
    ),
    modality="audio",
    mode="send-receive",
    concurrency_limit=int(env("CALLS", "100")),  # the default is 1
    verbose=False,
)
app = FastAPI()
stream.mount(app)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(env("PORT", "7862")), log_level="warning")
