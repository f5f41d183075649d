"""llama.cpp by its C interface: a model file, a cache of several sequences, and samplers.

Nothing here is thread-safe; `llama_worker.py` uses it from one thread.
"""

import ctypes
import re
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.engines.llm.answer_grammar import Allowed, Spelling, packages
from pipeline.engines.llm.chat_template import CHATML, ChatTemplate, PromptPiece
from pipeline.engines.llm.llama_api import (
    FLASH_ATTENTION_OFF,
    FLASH_ATTENTION_WHERE_QUICKER,
    LOG,
    RANDOM_SEED,
    VOCAB_TYPE_BPE,
    TokenData,
    TokenDataArray,
)
from pipeline.engines.llm.llama_builds import Llama, load_library
from pipeline.engines.llm.llama_slots import Logits, SlotPlacement
from pipeline.engines.llm.llama_steps import Share
from pipeline.engines.llm.token_cache import PromptTokens, TokenCache
from pipeline.engines.protocols import EngineError, EngineUnavailableError

_CANDIDATE = np.dtype(TokenData)


def find_gguf(path: Path) -> Path:
    """The model file: the path itself, or the one `.gguf` in a folder.

    Raises:
        EngineUnavailableError: there is none, or more than one.
    """
    if path.is_file():
        return path
    found = sorted(path.glob("*.gguf")) if path.is_dir() else []
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(file.name for file in found)
        raise EngineUnavailableError(f"{path} holds more than one model ({names}): name the file itself")
    raise EngineUnavailableError(f"there is no GGUF model at {path}: run `morgan models pull`")


class NativeModel:
    """Weights and vocabulary of a GGUF file.

    Args:
        path: the file.
        llama: the build that computes; None for the wheel's.
        gpu_layers: layers on the GPU, from the last one on; more than there are for all.

    Attributes:
        build: which one that is.
        on_gpu: whether layers are on a GPU.
        title: the name that the file gives itself, else the file's name.
        size: tokens of the vocabulary.
        parameters: how many weights.
        trained_context: tokens of context that the model was trained for.

    Raises:
        EngineUnavailableError: the package is missing or the file cannot be read.
    """

    def __init__(self, path: Path, llama: Llama | None = None, gpu_layers: int = 0) -> None:
        llama = llama or load_library()
        self.build, self.on_gpu = llama.build, gpu_layers > 0
        self.library = llama.functions
        parameters = self.library.llama_model_default_params()
        parameters.n_gpu_layers = gpu_layers
        parameters.use_extra_bufts = self.build.repacks
        LOG.last_error = ""
        self.handle = self.library.llama_model_load_from_file(str(path).encode(), parameters)
        if not self.handle:
            raise EngineUnavailableError(
                f"{path} cannot be read as a GGUF model ({LOG.last_error}): "
                "delete it and run `morgan models pull`, or `morgan models verify` to find what else is damaged"
            )
        self._vocabulary = self.library.llama_model_get_vocab(self.handle)
        self.size = int(self.library.llama_vocab_n_tokens(self._vocabulary))
        self.trained_context = int(self.library.llama_model_n_ctx_train(self.handle))
        self.parameters = int(self.library.llama_model_n_params(self.handle))
        self.title = self._metadata("general.name") or path.stem
        self._bos = int(self.library.llama_vocab_bos(self._vocabulary))
        self._adds_bos = bool(self.library.llama_vocab_get_add_bos(self._vocabulary))
        self._controls = {
            self._text(token): token
            for token in range(self.size)
            if self.library.llama_vocab_is_control(self._vocabulary, token)
        }
        self._fragments = self._splitter()
        self._tokens = TokenCache()

    def template(self) -> ChatTemplate:
        """The file's own chat template, ChatML where it has none."""
        source = self.library.llama_model_chat_template(self.handle, None)
        eos = int(self.library.llama_vocab_eos(self._vocabulary))
        return ChatTemplate(
            source.decode("utf-8", "replace") if source else CHATML,
            bos=self._text(self._bos),
            eos=self._text(eos),
            controls=self._controls,
        )

    @property
    def kept_bytes(self) -> int:
        """Of texts and their tokens, for prompts to come."""
        return self._tokens.size

    def prompt(self) -> PromptTokens:
        """For the tokens of one request; to be accepted when the request is."""
        return PromptTokens(self._tokens, self._tokenize)

    def tokenize(self, pieces: Sequence[PromptPiece], prompt: PromptTokens) -> list[int]:
        """The tokens of a rendered prompt, with the first token that the model wants in front.

        Text between two control tokens is looked up where an earlier prompt had it too: 2,100 tokens take 8 ms.
        """
        prompt.begin()
        ids: list[int] = []
        for text, literal in pieces:
            if literal or self._fragments is None:
                ids += prompt.of(text, not literal)
                continue
            for fragment in self._fragments.split(text):
                control = self._controls.get(fragment)
                ids += prompt.of(fragment, False) if control is None else (control,)
        return [self._bos, *ids] if self._adds_bos and ids[:1] != [self._bos] else ids

    def ends(self, token: int) -> bool:
        """Whether the token is one that ends a reply (EOS, end of turn)."""
        return bool(self.library.llama_vocab_is_eog(self._vocabulary, token))

    def piece(self, token: int) -> bytes:
        """The bytes of a token as text; control tokens have none."""
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            length = int(self.library.llama_token_to_piece(self._vocabulary, token, buffer, size, 0, False))
            if length >= 0:
                return buffer.raw[:length]
            size = -length

    def guided_vocabulary(self) -> Any:
        """The vocabulary for `AnswerGrammars`; 0.5 to 2 s, in any thread, as long as the weights are there."""
        tokens = [self.piece(token) for token in range(self.size)]
        for name, token in self._controls.items():
            tokens[token] = name.encode()
        ends = [token for token in range(self.size) if self.ends(token)]
        guidance = packages()
        spelling = Spelling(
            tokens, sorted(self._controls.values()), ends[0], lambda text: [*self._tokenize(text, False)]
        )
        return guidance.LLTokenizer(guidance.TokenizerWrapper(spelling), n_vocab=self.size, eos_token=ends)

    def close(self) -> None:
        """Free the weights; contexts must be closed before."""
        if self.handle:
            self.library.llama_model_free(self.handle)
            self.handle = None

    def _tokenize(self, text: str, controls: bool) -> "array[int]":
        data = text.encode("utf-8", "replace")
        room = len(data) + 8
        ids = (ctypes.c_int32 * room)()
        count = self.library.llama_tokenize(self._vocabulary, data, len(data), ids, room, False, controls)
        if count < 0:
            raise EngineError("llama.cpp could not tokenise the prompt")
        made = array("i")
        made.frombytes(memoryview(ids).cast("B")[: count * made.itemsize])
        return made

    def _splitter(self) -> re.Pattern[str] | None:
        """Finds control tokens in a prompt; None where text between them does not tokenise by itself.

        Byte-pair vocabularies do so by construction. Sentencepiece ones may add a space in front or strip one.
        """
        if self.library.llama_vocab_type(self._vocabulary) != VOCAB_TYPE_BPE or not self._controls:
            return None
        texts = sorted(self._controls, key=len, reverse=True)
        return re.compile("(" + "|".join(map(re.escape, texts)) + ")")

    def _text(self, token: int) -> str:
        text = self.library.llama_vocab_get_text(self._vocabulary, token) if token >= 0 else None
        return text.decode("utf-8", "replace") if text else ""

    def _metadata(self, key: str) -> str:
        buffer = ctypes.create_string_buffer(256)
        length = self.library.llama_model_meta_val_str(self.handle, key.encode(), buffer, 256)
        return buffer.value.decode("utf-8", "replace") if length > 0 else ""


class NativeContext:
    """The key-value cache of `slots` sequences and the decoder that works on it.

    Each sequence has cells of its own ("streams" in llama.cpp). In one buffer for all, every token attends over the
    cells of all sequences: with 500 tokens in each of 8, one token took 22 ms instead of 9 and sixteen took 105 instead
    of 39. Flash attention is off on a CPU because it makes small steps slower there (26 ms instead of 11 for one token
    at 1,200 of context).

    Args:
        model: the weights.
        slots: sequences; each costs memory for `n_ctx` tokens at once.
        n_ctx: tokens of one sequence.
        batch: most tokens in one step.
        threads: until `set_threads` says otherwise.

    Raises:
        EngineUnavailableError: there is not enough memory.
    """

    def __init__(self, model: NativeModel, *, slots: int, n_ctx: int, batch: int, threads: int) -> None:
        self._library = model.library
        self._size = model.size
        self._threads = threads
        parameters = self._library.llama_context_default_params()
        parameters.n_ctx = n_ctx * slots
        parameters.n_seq_max = slots
        parameters.n_batch = parameters.n_ubatch = batch
        parameters.n_threads = parameters.n_threads_batch = threads
        parameters.kv_unified = False
        parameters.flash_attn_type = FLASH_ATTENTION_WHERE_QUICKER if model.on_gpu else FLASH_ATTENTION_OFF
        self._handle = self._library.llama_init_from_model(model.handle, parameters)
        if not self._handle:
            raise EngineUnavailableError(
                f"there is not enough memory for {slots} conversations of {n_ctx} tokens ({LOG.last_error}): "
                "set fewer slots or a smaller context for the language model"
            )
        self._memory = self._library.llama_get_memory(self._handle)
        self._batch = self._library.llama_batch_init(batch, 0, 1)

    def set_threads(self, threads: int) -> None:
        """Compute the next steps on so many threads."""
        if threads != self._threads:
            self._threads = threads
            self._library.llama_set_n_threads(self._handle, threads, threads)

    def arrange(self, placement: SlotPlacement) -> bool:
        """Make a slot hold the first `keep` tokens of what it, or the slot to copy from, holds.

        Returns:
            False where the model cannot forget only the end of a sequence (recurrent ones); the slot is empty then.
        """
        slot, keep, source = placement
        if source is not None:
            self._library.llama_memory_seq_rm(self._memory, slot, -1, -1)
            self._library.llama_memory_seq_cp(self._memory, source, slot, -1, -1)
        if self._library.llama_memory_seq_rm(self._memory, slot, keep, -1):
            return True
        self._library.llama_memory_seq_rm(self._memory, slot, -1, -1)
        return False

    def evaluate(self, shares: Sequence[Share]) -> dict[int, Logits]:
        """Evaluate the next tokens of several sequences in one go; `Tokens.evaluated` is left to the caller.

        Returns:
            For each share (by its place in the list) that reaches the end of its tokens: the scores of the next token,
            valid until the next call.

        Raises:
            EngineError: llama.cpp refused; the cache is as it was before.
        """
        batch, at = self._batch, 0
        outputs: dict[int, int] = {}
        for place, (tokens, count) in enumerate(shares):
            start = tokens.evaluated
            for position in range(start, start + count):
                batch.token[at] = tokens.ids[position]
                batch.pos[at] = position
                batch.n_seq_id[at] = 1
                batch.seq_id[at][0] = tokens.slot
                batch.logits[at] = position == len(tokens.ids) - 1
                at += 1
            if count == tokens.pending:
                outputs[place] = at - 1
        batch.n_tokens = at
        code = self._library.llama_decode(self._handle, batch)
        if code != 0:
            for tokens, _ in shares:
                self._library.llama_memory_seq_rm(self._memory, tokens.slot, tokens.evaluated, -1)
            raise EngineError(f"llama.cpp could not evaluate {at} tokens (code {code}): {LOG.last_error}")
        return {place: self._logits(row) for place, row in outputs.items()}

    def close(self) -> None:
        """Free the cache."""
        if self._handle:
            self._library.llama_batch_free(self._batch)
            self._library.llama_free(self._handle)
            self._handle = None

    def _logits(self, row: int) -> Logits:
        pointer = self._library.llama_get_logits_ith(self._handle, row)
        return np.ctypeslib.as_array(pointer, (self._size,))


class Sampler:
    """Chooses the tokens of one generation.

    Args:
        model: whose vocabulary it is.
        temperature: 0 always takes the best token.
        top_p: sample among the likeliest tokens that add up to this probability.
        repeat_penalty: divides the score of tokens among the last 64 generated ones; 1 is off.
        seed: of the generation's random numbers; None takes a random one.
    """

    def __init__(
        self, model: NativeModel, *, temperature: float, top_p: float, repeat_penalty: float, seed: int | None
    ) -> None:
        library = self._library = model.library
        self._chain = library.llama_sampler_chain_init(library.llama_sampler_chain_default_params())
        if repeat_penalty != 1:
            self._add(library.llama_sampler_init_penalties(model.size, 64, repeat_penalty, 0.0, 0.0))
        if temperature <= 0:
            self._add(library.llama_sampler_init_greedy())
        else:
            self._add(library.llama_sampler_init_top_k(40))
            self._add(library.llama_sampler_init_top_p(top_p, 1))
            self._add(library.llama_sampler_init_temp(temperature))
            self._add(library.llama_sampler_init_dist(RANDOM_SEED if seed is None else seed))
        self._candidates = np.zeros(model.size, dtype=_CANDIDATE)
        self._ids = np.arange(model.size, dtype=np.int32)

    def sample(self, logits: Logits, allowed: Allowed | None = None) -> int:
        """The next token, which then counts as said.

        Args:
            logits: scores of all.
            allowed: those that may be chosen, at least one; None for all.
        """
        candidates = self._candidates
        candidates["id"], candidates["logit"], candidates["p"] = self._ids, logits, 0
        if allowed is not None:
            candidates["logit"][~allowed[: len(candidates)]] = -np.inf
        data = candidates.ctypes.data_as(ctypes.POINTER(TokenData))
        array = TokenDataArray(data=data, size=len(candidates), selected=-1, sorted=False)
        self._library.llama_sampler_apply(self._chain, ctypes.byref(array))
        token = int(array.data[array.selected].id)
        self._library.llama_sampler_accept(self._chain, token)
        return token

    def close(self) -> None:
        """Free the chain."""
        if self._chain:
            self._library.llama_sampler_free(self._chain)
            self._chain = None

    def _add(self, part: Any) -> None:
        self._library.llama_sampler_chain_add(self._chain, part)
