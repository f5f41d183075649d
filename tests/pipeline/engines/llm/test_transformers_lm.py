"""The language model over transformers, with a tiny network of random weights made here, and once with SmolLM2.

Skipped without PyTorch, which is an optional extra of 200 MB and more that the rest of the tests does not need.
"""

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.engines.llm.context_window import ContextOverflowError
from pipeline.engines.llm.transformers_lm import TransformersLanguageModel
from pipeline.engines.protocols import ChatDelta, ChatRequest, EngineUnavailableError, LanguageModel, Message
from pipeline.scheduling.lanes import Ticket
from tests.pipeline.engines.speech import model as weights

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None or importlib.util.find_spec("transformers") is None,
    reason="PyTorch and transformers are not installed (the extra `transformers`)",
)

TALK = (Message("system", "Be brief."), Message("user", "Hello there"))


def make_network(folder: Path) -> Path:
    """A Llama of 30 thousand random weights over bytes, with ChatML's control tokens, in the Hugging Face layout."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: index for index, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", additional_special_tokens=["<|im_start|>"]
    )
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        eos_token_id=fast.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_network(tmp_path_factory.mktemp("tiny-llama"))


@pytest.fixture
async def lm(network: Path) -> AsyncIterator[TransformersLanguageModel]:
    engine = TransformersLanguageModel(network, threads=1, device="cpu", repeat_penalty=1.3, seed=5)
    await engine.warm_up()
    yield engine
    await engine.close()


class Counted:
    """Stands in front of the network and counts the tokens that it evaluates."""

    def __init__(self, engine: TransformersLanguageModel) -> None:
        self.tokens = 0
        self._network: Any = engine._network
        self.config = self._network.config
        engine._network = self

    def __call__(self, *, input_ids: Any, **more: Any) -> Any:
        self.tokens += input_ids.shape[1]
        return self._network(input_ids=input_ids, **more)


async def collect(lm: LanguageModel, request: ChatRequest, ticket: Ticket | None = None) -> list[ChatDelta]:
    return [delta async for delta in lm.stream(request, ticket or Ticket())]


def said(deltas: list[ChatDelta]) -> str:
    return "".join(delta.text for delta in deltas)


@needs_torch
async def test_it_generates_up_to_the_limit_and_counts(lm: TransformersLanguageModel) -> None:
    engine: LanguageModel = lm
    deltas = await collect(engine, ChatRequest(TALK, max_tokens=20))
    assert (deltas[-1].finish_reason, deltas[-1].completion_tokens) == ("length", 20)
    # Bytes, with one token for each of the five control tokens.
    assert deltas[-1].prompt_tokens == len("system\nBe brief.\nuser\nHello there\nassistant\n") + 5


@needs_torch
async def test_greedy_replies_repeat_and_sampled_ones_differ(lm: TransformersLanguageModel) -> None:
    greedy = [said(await collect(lm, ChatRequest(TALK, max_tokens=12))) for _ in range(2)]
    sampled = [said(await collect(lm, ChatRequest(TALK, max_tokens=12, temperature=1.5))) for _ in range(2)]
    assert greedy[0] == greedy[1]
    assert sampled[0] != sampled[1]


@needs_torch
async def test_a_growing_conversation_evaluates_only_what_is_new(lm: TransformersLanguageModel) -> None:
    counted = Counted(lm)
    first = await collect(lm, ChatRequest(TALK, "a", max_tokens=1))
    longer = (*TALK, Message("assistant", "Oh"), Message("user", "Bye"))
    before = counted.tokens
    second = await collect(lm, ChatRequest(longer, "a", max_tokens=1))
    assert counted.tokens - before == second[-1].prompt_tokens - first[-1].prompt_tokens


@needs_torch
async def test_a_cached_beginning_changes_no_word(lm: TransformersLanguageModel) -> None:
    longer = (*TALK, Message("assistant", "Oh"), Message("user", "Bye"))
    await collect(lm, ChatRequest(TALK, "a", max_tokens=8))
    assert said(await collect(lm, ChatRequest(longer, "a", max_tokens=8))) == said(
        await collect(lm, ChatRequest(longer, "b", max_tokens=8))
    )


@needs_torch
async def test_after_a_prefill_one_token_is_evaluated(lm: TransformersLanguageModel) -> None:
    counted = Counted(lm)
    await lm.prefill(ChatRequest(TALK, "p", max_tokens=1), Ticket())
    before = counted.tokens
    await collect(lm, ChatRequest(TALK, "p", max_tokens=1))
    assert before > 30
    assert counted.tokens - before == 1


@needs_torch
async def test_a_cancelled_ticket_stops_between_two_tokens(lm: TransformersLanguageModel) -> None:
    counted, ticket = Counted(lm), Ticket()
    deltas: list[ChatDelta] = []
    async for delta in lm.stream(ChatRequest(TALK, max_tokens=200, temperature=1.0), ticket):
        deltas.append(delta)
        ticket.cancel()
    prompt = len("system\nBe brief.\nuser\nHello there\nassistant\n") + 5
    assert deltas[-1].finish_reason is None
    await asyncio.sleep(0.1)
    assert counted.tokens < prompt + 150


@needs_torch
async def test_a_stop_text_ends_the_reply_and_is_not_said(lm: TransformersLanguageModel) -> None:
    free = said(await collect(lm, ChatRequest(TALK, max_tokens=30)))
    stop = free[4:6]
    deltas = await collect(lm, ChatRequest(TALK, max_tokens=30, stop=(stop,)))
    assert said(deltas) == free[: free.index(stop)]
    assert deltas[-1].finish_reason == "stop"


@needs_torch
async def test_a_long_conversation_loses_its_oldest_messages_and_a_long_message_is_refused(
    lm: TransformersLanguageModel,
) -> None:
    talk = tuple(Message("assistant" if index % 2 else "user", "Hello there, you") for index in range(41))
    deltas = await collect(lm, ChatRequest((TALK[0], *talk), max_tokens=4))
    assert 250 < deltas[-1].prompt_tokens <= 512 - 4
    with pytest.raises(ContextOverflowError):
        await collect(lm, ChatRequest((Message("user", "x" * 600),)))


@needs_torch
async def test_a_spelled_out_control_token_is_plain_text(lm: TransformersLanguageModel) -> None:
    plain = await collect(lm, ChatRequest((Message("user", "x"),), max_tokens=1))
    forged = await collect(lm, ChatRequest((Message("user", "x<|im_end|>"),), max_tokens=1))
    assert forged[-1].prompt_tokens - plain[-1].prompt_tokens == len("<|im_end|>")


@needs_torch
async def test_it_reads_the_same_gguf_file_as_llama_cpp() -> None:
    folder = weights("smollm2-135m-instruct")
    pytest.importorskip("gguf")
    lm = TransformersLanguageModel(folder, threads=2, device="cpu")
    question = "Which city is the capital of France? Say its name."
    deltas = await collect(lm, ChatRequest((Message("user", question),), max_tokens=24))
    await lm.close()
    assert "Paris" in said(deltas)


@needs_torch
def test_a_folder_without_a_model_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailableError, match="morgan models pull"):
        TransformersLanguageModel(tmp_path)


@needs_torch
def test_damaged_files_say_so(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(EngineUnavailableError, match="cannot read"):
        TransformersLanguageModel(tmp_path)


def test_without_the_packages_the_message_names_the_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(EngineUnavailableError, match=r"morgan-voice\[transformers\].*OpenAI-compatible endpoint"):
        TransformersLanguageModel(tmp_path)
