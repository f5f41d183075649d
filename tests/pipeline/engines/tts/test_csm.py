"""CSM over transformers' own classes, with a tiny network of random weights: it proves the plumbing, not the sound.

Skipped without PyTorch, which is an optional extra.
"""

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.audio import SPEECH_RATE
from pipeline.engines.protocols import EngineUnavailableError, TextToSpeech
from pipeline.engines.tts.csm import VOICE, Csm
from pipeline.scheduling.lanes import Ticket

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None or importlib.util.find_spec("transformers") is None,
    reason="PyTorch and transformers are not installed (the extra `transformers`)",
)


def make_network(folder: Path) -> Path:
    """A CSM of random weights over bytes, with a codec, in the Hugging Face layout."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import CsmConfig, CsmForConditionalGeneration, MimiConfig, PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: index for index, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<b>", pad_token="<p>")
    small: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    books: dict[str, Any] = {"num_codebooks": 4, "vocab_size": 67, "num_key_value_heads": 2, "head_dim": 16}
    codec = MimiConfig(
        **small,
        num_key_value_heads=2,
        head_dim=16,
        num_filters=4,
        upsample_groups=32,
        num_quantizers=4,
        codebook_size=128,
        codebook_dim=16,
        vector_quantization_hidden_dimension=16,
        max_position_embeddings=256,
    )
    config = CsmConfig(
        **small,
        **books,
        text_vocab_size=len(fast),
        max_position_embeddings=512,
        pad_token_id=fast.pad_token_id,
        bos_token_id=fast.bos_token_id,
        audio_token_id=len(fast) - 1,
        audio_eos_token_id=len(fast) - 1,
        codebook_pad_token_id=66,
        codebook_eos_token_id=0,
        codec_config=codec.to_dict(),
        depth_decoder_config={**small, **books, "backbone_hidden_size": 32, "max_position_embeddings": 5},
    )
    torch.manual_seed(3)
    CsmForConditionalGeneration(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_network(tmp_path_factory.mktemp("tiny-csm"))


@pytest.fixture
async def csm(network: Path) -> AsyncIterator[Csm]:
    engine = Csm(network, device="cpu")
    yield engine
    await engine.close()


@needs_torch
async def test_a_clause_becomes_audio_with_a_place_for_every_word(csm: Csm) -> None:
    engine: TextToSpeech = csm
    assert [voice.id for voice in engine.voices] == [VOICE]
    chunks = [chunk async for chunk in engine.synthesize("Hello there.", Ticket(), voice=VOICE)]
    assert chunks
    assert [word.text for word in chunks[0].words] == ["Hello", "there."]
    assert chunks[0].words[-1].end <= len(chunks[0].pcm) / SPEECH_RATE + 0.001


@needs_torch
async def test_who_cancels_in_mid_clause_waits_for_one_frame_only(csm: Csm) -> None:
    ticket = Ticket()
    long = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen."

    async def say() -> list[object]:
        return [chunk async for chunk in csm.synthesize(long, ticket)]

    saying = asyncio.create_task(say())
    await asyncio.sleep(0.1)
    assert csm.lane.load.running == 1
    ticket.cancel()
    async with asyncio.timeout(2):
        assert await saying == []


@needs_torch
async def test_unknown_voices_are_refused_by_name(csm: Csm) -> None:
    with pytest.raises(ValueError, match=VOICE):
        csm.synthesize("Hello.", Ticket(), voice="bob")


@needs_torch
def test_a_folder_without_a_model_says_what_to_download(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailableError, match="sesame/csm-1b"):
        Csm(tmp_path)


def test_without_the_packages_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(EngineUnavailableError, match=r"morgan-voice\[transformers\]"):
        Csm(tmp_path)
