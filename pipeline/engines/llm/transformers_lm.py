"""The language model in process where llama.cpp is not to be had, or on a GPU: PyTorch through transformers.

Slower than llama.cpp on a CPU by a factor of nine, and one reply at a time. An optional extra.
"""

import importlib
import math
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pipeline.engines.llm.answer_grammar import AnswerGrammar, AnswerGrammars, told_of_form
from pipeline.engines.llm.chat_template import CHATML, ChatTemplate
from pipeline.engines.llm.context_window import fit_messages
from pipeline.engines.llm.llama_slots import common_prefix
from pipeline.engines.llm.reply_text import ReplyAssembler
from pipeline.engines.protocols import ChatDelta, ChatRequest, EngineError, EngineUnavailableError, Message
from pipeline.scheduling.cores import slots_of
from pipeline.scheduling.lane_load import LaneLoad
from pipeline.scheduling.lanes import Lane, Ticket
from pipeline.text.thinking import opens_thought

_REMEDY = "install it with `pip install 'morgan-voice[transformers]'`, or set an OpenAI-compatible endpoint"


class TransformersLanguageModel:
    """A `LanguageModel` over transformers.

    Requests go through one lane, the most urgent first; a running reply is not overtaken. The key-value caches of the
    last conversations are kept, so that only what is new in them is evaluated. A cancelled ticket ends the stream
    without a last delta. Deltas that nobody reads are bounded by the lane's backlog.

    The constructor blocks until the model is loaded.

    Args:
        path: a folder in the Hugging Face layout (`config.json`, weights, tokenizer), a GGUF file, or a folder with
            one (GGUF needs the package `gguf` and is expanded to 16 or 32 bits per weight).
        threads: of the computation on a CPU; PyTorch has one setting for the process.
        device: "cpu", "cuda", "mps"; "auto" takes the best that there is.
        compute_type: as PyTorch names them; "auto" is bfloat16 on cuda and float32 elsewhere.
        n_ctx: tokens that prompt and reply of a request may have together; never more than the model was trained for.
        conversations: caches kept; the one that lay idle longest is dropped.
        top_p: at temperatures above 0, sample among the likeliest tokens that add up to this probability.
        repeat_penalty: divides the score of tokens that the last 64 of the reply hold; 1 is off.
        seed: of the random numbers; None takes a random one.

    Raises:
        EngineUnavailableError: a package or the files are missing or unusable; the message says what to do.
    """

    name = "transformers"
    kind: Literal["in-process", "remote"] = "in-process"
    calls_tools = False
    shapes_answers = True

    def __init__(
        self,
        path: Path,
        *,
        threads: int = 2,
        device: str = "auto",
        compute_type: str = "auto",
        n_ctx: int = 2048,
        conversations: int = 4,
        top_p: float = 0.95,
        repeat_penalty: float = 1.1,
        seed: int | None = None,
    ) -> None:
        self._torch, self._transformers = _packages()
        self._top_p, self._repeat_penalty = top_p, repeat_penalty
        self._conversations = conversations
        self._caches: OrderedDict[str, tuple[list[int], Any]] = OrderedDict()
        self._torch.set_num_threads(threads)
        self.device = _best_device(self._torch) if device == "auto" else device
        self._tokenizer, self._network = self._load(path, compute_type)
        self.model = path.stem if path.is_file() else path.name
        self._n_ctx = min(n_ctx, getattr(self._network.config, "max_position_embeddings", n_ctx))
        self._ends = self._end_tokens()
        self._template = ChatTemplate(
            self._tokenizer.chat_template or CHATML,
            bos=self._tokenizer.bos_token or "",
            eos=self._tokenizer.eos_token or "",
            controls=self._tokenizer.all_special_tokens,
        )
        self._random = self._torch.Generator(device=self.device)
        if seed is not None:
            self._random.manual_seed(seed)
        else:
            self._random.seed()
        self._grammars = AnswerGrammars(self._guided_vocabulary)
        self._lane = Lane(
            "transformers",
            capacity=64,
            threads=threads if self.device == "cpu" else 1,
            pausing=True,
            cores=slots_of(self.device),
        )

    @property
    def load(self) -> LaneLoad:
        """The lane's counters."""
        return self._lane.load

    async def stream(self, request: ChatRequest, ticket: Ticket) -> AsyncIterator[ChatDelta]:
        """Generate a reply.

        Raises:
            EngineError: this request could not be served.
            RequestRefusedError: the answer cannot be had in the form that was asked for.
            LaneFullError, LaneClosedError: too many requests, or the engine was closed.
        """
        grammar = await self._grammars.prepare(request)
        async for delta in self._lane.stream(lambda: self._reply(request, grammar), ticket):
            # The lane can stop between two items only, so that every token is one, with text or without.
            if delta.text or delta.finish_reason:
                yield delta

    async def prefill(self, request: ChatRequest, ticket: Ticket) -> None:
        """Evaluate the prompt, so that a `stream` of the same or a longer one evaluates only the rest."""
        async for _ in self._lane.stream(lambda: self._read(request), ticket):
            pass

    async def warm_up(self) -> None:
        """Generate two tokens."""
        async for _ in self.stream(ChatRequest((Message("user", "Hello"),), max_tokens=2), Ticket()):
            pass

    async def close(self) -> None:
        """Stop after the token in hand and free the weights."""
        self._grammars.close()
        await self._lane.aclose()
        self._caches.clear()
        self._network = None

    def _load(self, path: Path, compute_type: str) -> tuple[Any, Any]:
        folder, options = _place(path)
        best = "bfloat16" if self.device == "cuda" else "float32"
        dtype = getattr(self._torch, best if compute_type == "auto" else compute_type)
        try:
            tokenizer = self._transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, **options)
            network = self._transformers.AutoModelForCausalLM.from_pretrained(
                folder, local_files_only=True, dtype=dtype, **options
            )
        except ImportError as error:
            raise EngineUnavailableError(f"transformers cannot read {path} ({error}): {_REMEDY}") from error
        except Exception as error:  # damaged files raise whatever their reader happens to
            raise EngineUnavailableError(
                f"transformers cannot read {path} ({type(error).__name__}: {error}): run `morgan models verify`"
            ) from error
        return tokenizer, network.to(self.device).eval()

    def _end_tokens(self) -> frozenset[int]:
        configured = self._network.generation_config.eos_token_id
        ends = configured if isinstance(configured, list) else [configured]
        return frozenset(token for token in [*ends, self._tokenizer.eos_token_id] if token is not None)

    def _guided_vocabulary(self) -> Any:
        return importlib.import_module("llguidance.hf").from_tokenizer(
            self._tokenizer, n_vocab=self._network.config.vocab_size, eos_token=sorted(self._ends)
        )

    def _reply(self, request: ChatRequest, grammar: AnswerGrammar | None = None) -> Iterator[ChatDelta]:
        """One delta per token, empty where nothing can be said yet. Runs in the lane."""
        with self._torch.inference_mode():
            most = max(1, min(request.max_tokens, self._n_ctx // 2))
            ids, opened = self._prompt(told_of_form(request), most)
            prompt_tokens, said, thought = len(ids), 0, 0
            text, spelled = ReplyAssembler(request.stop, in_thought=opened), _Speller(self._tokenizer)
            random = self._random if request.seed is None else self._seeded(request.seed)
            cache = self._take_cache(request.conversation, ids)
            try:
                while True:
                    # What a model thinks has no form.
                    formed = None if text.thinking else grammar
                    scores = self._evaluate(ids, cache)
                    if formed is not None:
                        scores[~self._torch.from_numpy(formed.allowed()[: len(scores)]).to(self.device)] = -math.inf
                    if said < request.min_tokens and formed is None:
                        scores[list(self._ends)] = -math.inf
                    token = self._choose(scores, ids[prompt_tokens:], request, random)
                    whole = formed is not None and formed.take(token)
                    if token in self._ends:
                        yield ChatDelta(text.finish(), "stop", prompt_tokens, said)
                        return
                    ids.append(token)
                    said += 1
                    new = text.feed(spelled.feed(token).encode())
                    thought += text.thinking
                    over = whole or text.stopped
                    if over or said - thought >= most or len(ids) >= self._n_ctx:
                        reason: Literal["stop", "length"] = "stop" if over else "length"
                        yield ChatDelta(new + text.finish(), reason, prompt_tokens, said)
                        return
                    yield ChatDelta(new, thinking=text.thinking)
            except Exception:
                cache = None  # some layers may be ahead of others
                raise
            finally:
                self._put_cache(request.conversation, ids, cache)

    def _read(self, request: ChatRequest) -> Iterator[None]:
        """Evaluates the prompt. Runs in the lane."""
        with self._torch.inference_mode():
            ids, _ = self._prompt(request, max(1, min(request.max_tokens, self._n_ctx // 2)))
            cache = self._take_cache(request.conversation, ids)
            try:
                self._evaluate(ids, cache)
            except Exception:
                cache = None
                raise
            finally:
                self._put_cache(request.conversation, ids, cache)
        yield None

    def _prompt(self, request: ChatRequest, most: int) -> tuple[list[int], bool]:
        """The tokens of what fits, and whether they end within a thought."""
        opened = False

        def tokenize(messages: Sequence[Message]) -> list[int]:
            nonlocal opened
            ids: list[int] = []
            for text, literal in self._template.render(messages):
                opened = not literal and opens_thought(text)
                ids += self._tokenizer(text, add_special_tokens=False, split_special_tokens=literal)["input_ids"]
            return ids

        if not request.messages:
            raise EngineError("there are no messages to answer")
        ids = tokenize(request.messages)
        if len(ids) > self._n_ctx - most:
            kept = fit_messages(request.messages, self._n_ctx - most, lambda some: len(tokenize(some)))
            ids = tokenize(kept)
        return ids, opened

    def _take_cache(self, conversation: str, ids: list[int]) -> Any:
        """The conversation's cache, cut down to what the prompt begins with; at least the last token goes again."""
        held, cache = self._caches.pop(conversation, ([], None))
        shared = min(common_prefix(held, ids), len(ids) - 1)
        if cache is None or shared == 0:
            return self._transformers.DynamicCache(config=self._network.config)
        if beyond := cache.get_seq_length() - shared:
            cache.crop(-beyond)
        return cache

    def _put_cache(self, conversation: str, ids: list[int], cache: Any) -> None:
        if cache is None:
            return
        self._caches[conversation] = (ids[: cache.get_seq_length()], cache)
        while len(self._caches) > self._conversations:
            self._caches.popitem(last=False)

    def _evaluate(self, ids: list[int], cache: Any) -> Any:
        """Scores of the next token, shape (vocabulary,); the cache then holds all of `ids`."""
        new = self._torch.tensor([ids[cache.get_seq_length() :]], device=self.device)
        output = self._network(input_ids=new, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return output.logits[0, -1].float()

    def _choose(self, logits: Any, said: list[int], request: ChatRequest, random: Any) -> int:
        torch = self._torch
        recent = torch.tensor(sorted(set(said[-64:])), dtype=torch.long, device=self.device)
        if self._repeat_penalty != 1 and len(recent):
            scores = logits[recent]
            logits[recent] = torch.where(scores > 0, scores / self._repeat_penalty, scores * self._repeat_penalty)
        if request.temperature <= 0:
            return int(logits.argmax())
        probabilities, order = torch.softmax(logits / request.temperature, dim=-1).sort(descending=True)
        top_p = self._top_p if request.top_p is None else request.top_p
        beyond = probabilities.cumsum(0) - probabilities > top_p
        probabilities = probabilities.masked_fill(beyond, 0.0)
        return int(order[torch.multinomial(probabilities, 1, generator=random)])

    def _seeded(self, seed: int) -> Any:
        """Random numbers of one request."""
        return self._torch.Generator(device=self.device).manual_seed(seed)


class _Speller:
    """Token ids to text, whole characters only: what decodes to half a character waits for the next token."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._settled = 0

    def feed(self, token: int) -> str:
        self._ids.append(token)
        # Decoded behind the tokens before, because some tokenizers drop the space of the first word.
        before = self._tokenizer.decode(self._ids[: self._settled], skip_special_tokens=True)
        text = str(self._tokenizer.decode(self._ids, skip_special_tokens=True))
        if text.endswith("�"):
            return ""
        new = text[len(before) :]
        # Four tokens of context are enough to decide about spaces, and keep the cost per token flat.
        self._ids = self._ids[-4:]
        self._settled = len(self._ids)
        return new


def _packages() -> tuple[Any, Any]:
    try:
        return importlib.import_module("torch"), importlib.import_module("transformers")
    except ImportError as error:
        raise EngineUnavailableError(f"transformers with PyTorch is not installed ({error}): {_REMEDY}") from error
    except OSError as error:
        raise EngineUnavailableError(f"PyTorch does not load on this machine ({error}): {_REMEDY}") from error


def _best_device(torch: Any) -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _place(path: Path) -> tuple[Path, dict[str, str]]:
    """Folder and loading options of a model."""
    if path.is_file():
        return path.parent, {"gguf_file": path.name}
    if (path / "config.json").is_file():
        return path, {}
    found = sorted(path.glob("*.gguf"))
    if len(found) == 1:
        return path, {"gguf_file": found[0].name}
    raise EngineUnavailableError(f"there is no model for transformers at {path}: run `morgan models pull`")
