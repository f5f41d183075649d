"""The engines that Morgan brings. Each is imported when it is built, because some need packages that are optional."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr

from pipeline.engines.device import Device, placed
from pipeline.engines.gpu import ALL_LAYERS
from pipeline.engines.protocols import (
    EngineError,
    EngineUnavailableError,
    LanguageModel,
    SpeechToText,
    TextEmbedder,
    TextToSpeech,
    TurnDetector,
    VoiceActivityDetector,
)
from pipeline.plugins.engine_plugin import EngineHost, EngineOptions, EnginePlugin

TorchDevice = Literal["auto", "cpu", "cuda", "mps"]
TorchType = Literal["auto", "float32", "float16", "bfloat16"]


class ModelOptions(EngineOptions):
    """One model.

    Attributes:
        model: id or folder.
    """

    model: str


class OnnxOptions(ModelOptions):
    """One model on ONNX, whose file fixes the compute type.

    Attributes:
        device: cuda needs onnxruntime-gpu in place of onnxruntime; auto: the quicker one, timed at the start.
    """

    device: Device = "auto"


class SileroOptions(ModelOptions):
    """Silero VAD.

    Attributes:
        device: the CPU, where it takes a fifth of the time of a GPU.
    """

    device: Literal["auto", "cpu"] = "auto"


class WhisperOptions(ModelOptions):
    """Whisper on CTranslate2.

    Attributes:
        device: cuda needs cuBLAS 12; auto: the GPU where it works.
        compute_type: as CTranslate2 names them; auto: what the self-check chooses (cpu), float16 (cuda).
        lanes: transcriptions at once; None: as many as cores.
        runtime: what hears English on its first window: ctranslate2, or onnx (cpu); auto: onnx where the self-check
            finds it quicker, unless another compute type than int8 is wanted.
        languages: ISO 639-1 codes among which to detect.
    """

    device: Device = "auto"
    compute_type: str = "auto"
    runtime: Literal["auto", "ctranslate2", "onnx"] = "auto"
    lanes: int | None = None
    languages: tuple[str, ...] = ()


class LlamaCppOptions(ModelOptions):
    """llama.cpp in process.

    Attributes:
        device: cuda needs kernels ("llama-cpp-x86-64-cuda") and cuBLAS 12; auto: the GPU where that works.
        layers: on the GPU; None for all.
        threads: of the computation on the CPU; the native build has one.
        requantize: keep a copy of a small model in a form that reads prompts faster, where there is one.
        guidance: help a model of less than a billion parameters in calls (`llm.guidance`).
        library: the build of llama.cpp on the CPU: wheel; native, with kernels for AVX512-VNNI and AMX, where it is
            there and loads; auto: that one if it is faster here.
    """

    device: Device = "auto"
    layers: int | None = Field(None, ge=1, le=ALL_LAYERS)
    threads: int
    requantize: bool
    guidance: bool = True
    library: Literal["auto", "wheel", "native"] = "auto"


class TransformersOptions(ModelOptions):
    """A language model on PyTorch.

    Attributes:
        device: auto: the GPU where there is one.
        compute_type: auto: bfloat16 on cuda, else float32.
        threads: of the computation on a CPU.
    """

    device: TorchDevice = "auto"
    compute_type: TorchType = "auto"
    threads: int


class EndpointOptions(EngineOptions):
    """An OpenAI-compatible endpoint.

    Attributes:
        base_url: up to and with the version.
        api_key: sent as bearer token.
        model: its name there.
    """

    base_url: str | None = None
    api_key: SecretStr = SecretStr("")
    model: str


class ChatEndpointOptions(EndpointOptions):
    """A language model behind one.

    Attributes:
        sees_images: whether it takes images.
    """

    sees_images: bool = False


class SpeechEndpointOptions(EndpointOptions):
    """Speech behind one.

    Attributes:
        voice: its name there.
    """

    voice: str


class VoiceOptions(OnnxOptions):
    """A folder of voices on ONNX.

    Attributes:
        voice: id of the one that speaks unasked; None: the first.
        lanes: clauses at once; None: as many as cores.
    """

    voice: str | None = None
    lanes: int | None = None


class CsmOptions(ModelOptions):
    """CSM on PyTorch; see `TransformersOptions`."""

    device: TorchDevice = "auto"
    compute_type: TorchType = "auto"


class BertOptions(ModelOptions):
    """An embedder on CTranslate2.

    Attributes:
        device: cuda needs cuBLAS 12; auto: the quicker one, timed at the start.
        compute_type: as CTranslate2 names them.
    """

    device: Device = "auto"
    compute_type: str = "float32"


class TransformersEmbedderOptions(ModelOptions):
    """An embedder on PyTorch."""

    device: TorchDevice = "auto"


def _its_model(options: Any) -> Sequence[str]:
    return (options.model,)


def _silero(options: SileroOptions, host: EngineHost) -> VoiceActivityDetector:
    from pipeline.engines.vad.silero import SileroVad

    return SileroVad(host.folder_of(options.model))


def _smart_turn(options: OnnxOptions, host: EngineHost) -> TurnDetector:
    from pipeline.engines.turn.smart_turn import SmartTurn

    return SmartTurn(host.folder_of(options.model), device=options.device)


def _whisper(options: WhisperOptions, host: EngineHost) -> SpeechToText:
    from pipeline.engines.stt.faster_whisper import FasterWhisper

    # On the CPU the self-check may choose otherwise later: `server.calibration.calibrate.apply`.
    runtime = options.runtime
    if runtime == "auto":
        runtime = "onnx" if options.compute_type in ("auto", "int8") else "ctranslate2"
    return FasterWhisper(
        host.folder_of(options.model),
        lanes=options.lanes or host.lanes,
        device=options.device,
        compute_type=options.compute_type,
        languages=options.languages,
        vad=host.voice_activity(),
        runtime=runtime,
        cache=host.cache_dir / "converted",
    )


def _llama_cpp(options: LlamaCppOptions, host: EngineHost) -> LanguageModel:
    from pipeline.engines.llm.llama_builds import ANY_ID, CUDA_ID, folder_of_library, lacking_gpu, load_library
    from pipeline.engines.llm.llama_cpp import LlamaCppLanguageModel, LlamaOptions
    from pipeline.engines.llm.llama_steps import GPU_LIMITS
    from pipeline.engines.llm.llama_trial import try_on_gpu
    from pipeline.engines.llm.llama_weights import quick_weights

    def load(device: str) -> LlamaCppLanguageModel:
        weights = host.folder_of(options.model)
        if device == "cuda":
            if problem := lacking_gpu():
                raise EngineUnavailableError(f"{problem}, or set the device to cpu")
            library, kernels, layers = host.folder_of(ANY_ID), host.folder_of(CUDA_ID), options.layers or ALL_LAYERS
            try_on_gpu(weights, library, kernels, layers)
            return LlamaCppLanguageModel(
                LlamaOptions(
                    weights,
                    options.threads,
                    limits=GPU_LIMITS,
                    library=library,
                    kernels=kernels,
                    gpu_layers=layers,
                    guidance=options.guidance,
                )
            )
        chosen = folder_of_library(options.library, options.threads, host.folder_of)
        if options.requantize:
            weights = quick_weights(weights, host.cache_dir / "requantized", load_library(chosen))
        return LlamaCppLanguageModel(
            LlamaOptions(weights, threads=options.threads, library=chosen, guidance=options.guidance)
        )

    # Its weights may take gigabytes and are loaded once; no processor is quicker at them than a GPU.
    model, placement = placed(LLAMA_CPP.id, options.device, load, lambda _: None, compare=False)
    model.placement = placement
    model.model_id = options.model
    return model


def _transformers(options: TransformersOptions, host: EngineHost) -> LanguageModel:
    from pipeline.engines.llm.transformers_lm import TransformersLanguageModel

    folder = host.folder_of(options.model)
    return TransformersLanguageModel(
        folder, threads=options.threads, device=options.device, compute_type=options.compute_type
    )


def _openai_chat(options: ChatEndpointOptions, _: EngineHost) -> LanguageModel:
    from pipeline.engines.remote.openai_chat import OpenAiChat
    from pipeline.engines.remote.openai_connection import Endpoint

    if not options.base_url:
        raise EngineError("llm_engine is openai, but llm_base_url is not set (MORGAN_LLM_BASE_URL)")
    endpoint = Endpoint(options.base_url, options.api_key.get_secret_value())
    return OpenAiChat(endpoint, options.model, sees_images=options.sees_images)


def _openai_speech(options: SpeechEndpointOptions, _: EngineHost) -> TextToSpeech:
    from pipeline.engines.remote.openai_connection import Endpoint
    from pipeline.engines.remote.openai_speech import OpenAiSpeech

    if not options.base_url:
        raise EngineError("tts_engine is openai, but tts_base_url is not set (MORGAN_TTS_BASE_URL)")
    endpoint = Endpoint(options.base_url, options.api_key.get_secret_value())
    return OpenAiSpeech(endpoint, options.model, [options.voice])


def _piper(options: VoiceOptions, host: EngineHost) -> TextToSpeech:
    from pipeline.engines.tts.piper import Piper

    folder, lanes = host.folder_of(options.model), options.lanes or host.lanes
    return Piper(folder, lanes=lanes, default=options.voice, device=options.device)


def _kokoro(options: VoiceOptions, host: EngineHost) -> TextToSpeech:
    from pipeline.engines.tts.kokoro import Kokoro

    folder, lanes = host.folder_of(options.model), options.lanes or host.lanes
    return Kokoro(folder, lanes=lanes, default=options.voice, device=options.device)


def _csm(options: CsmOptions, host: EngineHost) -> TextToSpeech:
    from pipeline.engines.tts.csm import Csm

    return Csm(host.folder_of(options.model), device=options.device, compute_type=options.compute_type)


def _bert(options: BertOptions, host: EngineHost) -> TextEmbedder:
    from pipeline.engines.embedding.bert_embedder import BertEmbedder

    folder, cache = host.folder_of(options.model), host.cache_dir / "converted"
    return BertEmbedder(folder, cache, device=options.device, compute_type=options.compute_type)


def _transformers_embedder(options: TransformersEmbedderOptions, host: EngineHost) -> TextEmbedder:
    from pipeline.engines.embedding.transformers_embedder import TransformersEmbedder

    return TransformersEmbedder(host.folder_of(options.model), device=options.device)


def is_csm(folder: Path) -> bool:
    """Whether a folder holds a CSM in the Hugging Face layout."""
    try:
        described = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(described, dict) and described.get("model_type") == "csm"


def is_kokoro(folder: Path) -> bool:
    """Whether a folder holds a Kokoro: one model, and voices beside it."""
    return any(folder.glob("*.npz")) or any((folder / "voices").glob("*.bin"))


def _anything(_: Path) -> bool:
    return True


SILERO = EnginePlugin("silero", "vad", SileroOptions, _silero, _its_model)
SMART_TURN = EnginePlugin("smart-turn", "turn", OnnxOptions, _smart_turn, _its_model)
FASTER_WHISPER = EnginePlugin("faster-whisper", "stt", WhisperOptions, _whisper, _its_model)
LLAMA_CPP = EnginePlugin("llama.cpp", "llm", LlamaCppOptions, _llama_cpp, _its_model)
TRANSFORMERS = EnginePlugin("transformers", "llm", TransformersOptions, _transformers, _its_model)
OPENAI_CHAT = EnginePlugin("openai", "llm", ChatEndpointOptions, _openai_chat)
CSM = EnginePlugin("csm", "tts", CsmOptions, _csm, _its_model, is_csm)
KOKORO = EnginePlugin("kokoro", "tts", VoiceOptions, _kokoro, _its_model, is_kokoro)
PIPER = EnginePlugin("piper", "tts", VoiceOptions, _piper, _its_model, _anything)
OPENAI_SPEECH = EnginePlugin("openai", "tts", SpeechEndpointOptions, _openai_speech)
BERT = EnginePlugin("ctranslate2", "embedder", BertOptions, _bert, _its_model)
TRANSFORMERS_EMBEDDER = EnginePlugin(
    "transformers", "embedder", TransformersEmbedderOptions, _transformers_embedder, _its_model
)

BUILT_IN: Sequence[EnginePlugin[Any]] = (
    SILERO,
    SMART_TURN,
    FASTER_WHISPER,
    LLAMA_CPP,
    TRANSFORMERS,
    OPENAI_CHAT,
    CSM,
    KOKORO,
    PIPER,
    OPENAI_SPEECH,
    BERT,
    TRANSFORMERS_EMBEDDER,
)
"""All of them. A voice in a folder is spoken by the first that fits it, so Piper, which says what a folder lacks, is
the last of those."""
