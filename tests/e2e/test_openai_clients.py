"""The stock clients of OpenAI, in Python and for Node, against a real server: only their base URL is changed."""

import base64
import io
import json
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import openai
import pytest
from pydantic import BaseModel, Field

from pipeline.text.normalise import word_error_rate
from tests.e2e.openai_clients import NodeClient, install_node_client
from tests.serving import RunningServer
from tests.spoken import spoken

QUESTION = "What is the weather in Paris?"


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def node(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> NodeClient:
    return install_node_client(tmp_path_factory.mktemp("node"), f"{server.url}/v1")


# Transcriptions ------------------------------------------------------------------------------------------------------


def test_python_transcribes(client: openai.OpenAI, shared_audio: Path) -> None:
    with (shared_audio / "weather.wav").open("rb") as file:
        told = client.audio.transcriptions.create(model="whisper-1", file=file, language="en", prompt="A question.")
    assert told.text == spoken(QUESTION)
    assert told.usage is not None
    assert told.usage.type == "duration"
    assert told.usage.seconds == 2


def test_python_transcribes_with_segments_and_words(client: openai.OpenAI, shared_audio: Path) -> None:
    with (shared_audio / "jfk.flac").open("rb") as file:
        told = client.audio.transcriptions.create(
            model="whisper-1",
            file=file,
            response_format="verbose_json",
            timestamp_granularities=["segment", "word"],
            temperature=0.0,
        )
    assert (told.language, told.duration) == ("english", 11.0)
    assert told.segments is not None
    assert told.words is not None
    assert " ".join(segment.text for segment in told.segments) == told.text
    assert [word.word for word in told.words][-2:] == ["your", "country."]
    starts = [word.start for word in told.words]
    assert starts == sorted(starts)
    assert all(segment.avg_logprob < 0 <= segment.no_speech_prob < 0.5 for segment in told.segments)


@pytest.mark.parametrize(
    ("form", "begins"),
    [("text", "What is"), ("srt", "1\n00:00:00,"), ("vtt", "WEBVTT\n\n00:00:00.")],
)
def test_python_gets_text_and_subtitles(client: openai.OpenAI, shared_audio: Path, form: str, begins: str) -> None:
    with (shared_audio / "weather.wav").open("rb") as file:
        told = client.audio.transcriptions.create(model="whisper-1", file=file, response_format=form)  # type: ignore[call-overload]
    assert isinstance(told, str)
    assert told.startswith(begins)
    assert QUESTION in told


def test_python_streams_a_transcription(client: openai.OpenAI, shared_audio: Path) -> None:
    with (shared_audio / "jfk.flac").open("rb") as file:
        events = list(client.audio.transcriptions.create(model="gpt-4o-transcribe", file=file, stream=True))
    assert [event.type for event in events[-1:]] == ["transcript.text.done"]
    deltas = [event.delta for event in events if event.type == "transcript.text.delta"]
    assert len(deltas) > 1
    assert "".join(deltas) == events[-1].text  # type: ignore[union-attr]


def test_python_gets_english_of_what_is_english(client: openai.OpenAI, shared_audio: Path) -> None:
    with (shared_audio / "weather.wav").open("rb") as file:
        told = client.audio.translations.create(model="whisper-1", file=file)
    assert told.text == spoken(QUESTION)


def test_python_is_told_of_mistakes(client: openai.OpenAI, shared_audio: Path) -> None:
    create = client.audio.transcriptions.create
    sound = (shared_audio / "hello.wav").read_bytes()
    with pytest.raises(openai.BadRequestError) as refused:
        create(model="whisper-1", file=("hello.wav", sound), response_format="diarized_json")
    assert (refused.value.param, refused.value.type) == ("response_format", "invalid_request_error")
    with pytest.raises(openai.APIStatusError, match="no format"):
        create(model="whisper-1", file=("hello.wav", b"no sound at all"))
    with pytest.raises(openai.UnprocessableEntityError, match="empty"):
        create(model="whisper-1", file=("hello.wav", b""))


def test_node_transcribes_plainly_and_streaming(node: NodeClient, shared_audio: Path) -> None:
    told = node.run(f"""
        const file = () => fs.createReadStream({json.dumps(str(shared_audio / "weather.wav"))});
        const plain = await client.audio.transcriptions.create({{ model: 'whisper-1', file: file() }});
        const verbose = await client.audio.transcriptions.create({{
            model: 'whisper-1', file: file(), response_format: 'verbose_json', timestamp_granularities: ['word'] }});
        const srt = await client.audio.transcriptions.create({{
            model: 'whisper-1', file: file(), response_format: 'srt' }});
        const events = [];
        const stream = await client.audio.transcriptions.create({{
            model: 'whisper-1', file: file(), stream: true }});
        for await (const event of stream) events.push(event);
        const refused = await client.audio.transcriptions.create({{
            model: 'any', file: file(), response_format: 'diarized_json' }}).catch(e => e);
        return {{ plain, verbose, srt, events, refused: [refused.status, refused.code, refused.param] }};
    """)
    assert told["plain"]["text"] == told["verbose"]["text"] == spoken(QUESTION)
    assert [word["word"] for word in told["verbose"]["words"]] == spoken(QUESTION)
    assert QUESTION in told["srt"]
    assert [event["type"] for event in told["events"]] == ["transcript.text.delta", "transcript.text.done"]
    assert told["events"][-1]["text"] == spoken(QUESTION)
    assert told["refused"] == [400, "invalid_value", "response_format"]


# Speech ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["mp3", "opus", "aac", "flac", "wav", "pcm"])
def test_python_gets_speech_whose_words_are_heard(client: openai.OpenAI, form: Any) -> None:
    said = client.audio.speech.create(model="tts-1", voice="alloy", input=QUESTION, response_format=form).read()
    if form == "pcm":
        with io.BytesIO() as file, wave.open(file, "wb") as written:
            written.setnchannels(1)
            written.setsampwidth(2)
            written.setframerate(24_000)
            written.writeframes(said)
            written.close()
            said, form = file.getvalue(), "wav"
    told = client.audio.transcriptions.create(model="whisper-1", file=(f"said.{form}", said), language="en")
    # The voice draws its noise anew for every clause: of 80 times that it said this, five were heard a word off.
    assert word_error_rate(QUESTION, told.text) < 0.2


def test_python_streams_speech_as_it_is_spoken(client: openai.OpenAI) -> None:
    text = "One sentence goes before. And then another one follows it, " * 3
    asked: Any = {"model": "gpt-4o-mini-tts", "voice": "nova", "input": text, "instructions": "Be kind."}
    with client.audio.speech.with_streaming_response.create(**asked, response_format="pcm", speed=1.5) as response:
        pieces = list(response.iter_bytes())
    assert len(pieces) > 1
    assert sum(len(piece) for piece in pieces) > 3 * 48_000


def test_python_is_told_what_cannot_be_said(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="known are") as unknown:
        client.audio.speech.create(model="tts-1", voice="bob", input="Hello.")
    assert (unknown.value.code, unknown.value.type) == ("unknown_voice", "invalid_request_error")
    with pytest.raises(openai.UnprocessableEntityError, match="spoken"):
        client.audio.speech.create(model="tts-1", voice="alloy", input="***")


def test_node_gets_speech_as_a_file_and_as_events(node: NodeClient) -> None:
    told = node.run(f"""
        const order = {{ model: 'tts-1', voice: 'alloy', input: {json.dumps(QUESTION)} }};
        const file = Buffer.from(await (await client.audio.speech.create(order)).arrayBuffer());
        const events = await (await client.audio.speech.create({{ ...order, stream_format: 'sse' }})).text();
        return {{ file: file.toString('base64'), events }};
    """)
    events = [json.loads(line.removeprefix("data: ")) for line in told["events"].split("\n\n") if line]
    assert events[-1]["type"] == "speech.audio.done"
    assert events[-1]["usage"]["total_tokens"] > 0
    streamed = b"".join(base64.b64decode(event["audio"]) for event in events[:-1])
    # The second order came out of the cache.
    assert streamed == base64.b64decode(told["file"])


# Chat ----------------------------------------------------------------------------------------------------------------

HELLO: Any = [
    {"role": "system", "content": "You are brief."},
    {"role": "user", "content": [{"type": "text", "text": "Name a "}, {"type": "text", "text": "colour."}]},
]


def test_python_chats(client: openai.OpenAI) -> None:
    told = client.chat.completions.create(
        model="gpt-4o-mini", messages=HELLO, max_completion_tokens=12, seed=1, user="u"
    )
    (choice,) = told.choices
    assert choice.message.content
    assert choice.finish_reason in ("stop", "length")
    assert told.usage is not None
    assert 0 < told.usage.completion_tokens <= 12
    assert told.usage.total_tokens == told.usage.prompt_tokens + told.usage.completion_tokens
    assert told.object == "chat.completion"


class Person(BaseModel):
    """What the SDK makes a schema of, and reads the answer into."""

    name: Annotated[str, Field(max_length=20)]
    age: int


@pytest.mark.parametrize("stream", [False, True])
def test_python_gets_structured_output(client: openai.OpenAI, stream: bool) -> None:
    asked: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Ada is 36."}], "response_format": Person}
    if stream:
        with client.chat.completions.stream(**asked) as events:
            done = events.get_final_completion()
    else:
        done = client.chat.completions.parse(**asked)
    assert isinstance(done.choices[0].message.parsed, Person)


def test_python_streams_a_chat_that_says_the_same(client: openai.OpenAI) -> None:
    asked: Any = {"model": "m", "messages": HELLO, "max_tokens": 12, "temperature": 0}
    whole = client.chat.completions.create(**asked)
    chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == whole.choices[0].finish_reason
    assert chunks[-1].usage == whole.usage
    assert len({chunk.id for chunk in chunks}) == 1


def test_python_stops_at_a_text(client: openai.OpenAI) -> None:
    asked: Any = {"model": "m", "messages": [{"role": "user", "content": "Count from one to ten."}], "max_tokens": 30}
    whole = client.chat.completions.create(**asked).choices[0].message.content or ""
    stop = whole.split()[3]
    cut = client.chat.completions.create(**asked, stop=[stop]).choices[0]
    assert cut.message.content == whole[: whole.index(stop)]
    assert cut.finish_reason == "stop"


def test_python_gets_the_same_chance_twice_with_a_seed(client: openai.OpenAI) -> None:
    asked: Any = {"model": "m", "messages": HELLO, "max_tokens": 16, "temperature": 1.5, "top_p": 0.99}
    told = [client.chat.completions.create(**asked, seed=seed).choices[0].message.content for seed in (1, 1, 2, 3, 4)]
    assert told[0] == told[1]
    assert len(set(told)) > 1


@pytest.mark.parametrize(
    ("wrong", "status", "param"),
    [
        ({"messages": []}, 422, "messages"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "y"}}}},
            400,
            None,
        ),
        ({"n": 2}, 422, "n"),
        ({"temperature": 3}, 422, "temperature"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            400,
            "messages",
        ),
        ({"messages": [{"role": "user", "content": "word " * 5_000}]}, 400, None),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, 400, "tools"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_python_is_told_of_mistakes_in_a_chat(
    client: openai.OpenAI, wrong: dict[str, Any], status: int, param: str | None, stream: bool
) -> None:
    asked: Any = {"model": "m", "messages": HELLO, **wrong}
    with pytest.raises(openai.APIStatusError) as refused:
        client.chat.completions.create(**asked, stream=stream)
    assert refused.value.status_code == status
    assert refused.value.type == "invalid_request_error"
    if param is not None:
        assert refused.value.param == param


def test_python_gets_vectors_in_both_encodings(client: openai.OpenAI) -> None:
    """The client asks for base64 by itself when nobody says, and decodes it."""
    texts = ["The cat sleeps.", "Interest rates rose."]
    decoded = client.embeddings.create(model="text-embedding-3-small", input=texts)
    plain = client.embeddings.create(model="m", input=texts, encoding_format="float")
    assert [item.index for item in decoded.data] == [0, 1]
    for left, right in zip(decoded.data, plain.data, strict=True):
        assert left.embedding == pytest.approx(right.embedding, abs=1e-6)
    short = client.embeddings.create(model="m", input="One text.", dimensions=64).data[0].embedding
    assert len(short) == 64
    assert sum(number * number for number in short) == pytest.approx(1)
    assert client.embeddings.create(model="m", input=[[15339, 1917]]).data[0].embedding == pytest.approx(
        client.embeddings.create(model="m", input="hello world").data[0].embedding, abs=1e-6
    )


@pytest.mark.parametrize(
    ("wrong", "status"),
    [({"input": [[10**6]]}, 400), ({"input": []}, 422), ({"input": ""}, 422), ({"input": "a", "dimensions": 385}, 400)],
)
def test_python_is_told_of_mistakes_in_what_it_embeds(
    client: openai.OpenAI, wrong: dict[str, Any], status: int
) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        client.embeddings.create(model="m", **wrong)
    assert refused.value.status_code == status


def test_python_lists_models(client: openai.OpenAI) -> None:
    listed = [model.id for model in client.models.list()]
    assert "whisper-base" in listed
    assert [client.models.retrieve(name).id for name in listed] == listed
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-nothing")


def test_node_chats_embeds_and_lists_models(node: NodeClient) -> None:
    told = node.run(
        """
        const messages = [{ role: "user", content: "Name a colour." }];
        const whole = await client.chat.completions.create({ model: "m", messages, max_tokens: 8 });
        const stream = await client.chat.completions.create({ model: "m", messages, max_tokens: 8, stream: true });
        let streamed = "";
        for await (const chunk of stream) streamed += chunk.choices[0]?.delta?.content ?? "";
        const vectors = await client.embeddings.create({ model: "m", input: ["a cat", "a dog"] });
        const models = [];
        for await (const model of await client.models.list()) models.push(model.id);
        let refused = null;
        try { await client.models.retrieve("nothing"); } catch (error) { refused = [error.status, error.code]; }
        return {
            whole: whole.choices[0].message.content, streamed, models, refused,
            lengths: vectors.data.map((item) => item.embedding.length),
        };
        """
    )
    assert told["whole"] == told["streamed"] != ""
    assert told["lengths"] == [384, 384]
    assert "whisper-base" in told["models"]
    assert told["refused"] == [404, "model_not_found"]
