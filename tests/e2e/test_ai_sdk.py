"""Vercel's AI SDK: text, objects of a schema, transcripts with options, speech and vectors."""

import json
from pathlib import Path

import pytest

from tests.e2e.openai_clients import AI_SDK_SETUP, NodeClient, install_node_client
from tests.serving import RunningServer
from tests.spoken import spoken


@pytest.fixture(scope="module")
def node(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> NodeClient:
    folder = tmp_path_factory.mktemp("ai-sdk")
    return install_node_client(folder, f"{server.url}/v1", setup=AI_SDK_SETUP)


def test_the_ai_sdk_writes_hears_speaks_and_embeds(node: NodeClient, shared_audio: Path) -> None:
    told = node.run(f"""
        const audio = fs.readFileSync({json.dumps(str(shared_audio / "weather.wav"))});
        const openai = {{ language: 'en' }};
        const text = await ai.generateText({{
            model: client.chat('gpt-4o'), prompt: 'Name a colour.', maxOutputTokens: 8 }});
        const made = await ai.generateObject({{
            model: client.chat('gpt-4o'), prompt: 'Ada is 36.', maxOutputTokens: 100,
            schema: z.object({{ name: z.string().max(20), age: z.number().int() }}) }});
        const plain = await ai.experimental_transcribe({{
            model: client.transcription('gpt-4o-transcribe'), audio, providerOptions: {{ openai }} }});
        const verbose = await ai.experimental_transcribe({{
            model: client.transcription('whisper-1'), audio, providerOptions: {{ openai }} }});
        const speech = await ai.experimental_generateSpeech({{
            model: client.speech('tts-1'), text: 'Good morning.', voice: 'alloy' }});
        const vectors = await ai.embedMany({{
            model: client.embedding('text-embedding-3-small'), values: ['a cat', 'a dog'] }});
        return {{
            text: text.text, object: made.object, plain: plain.text, language: verbose.language,
            segments: verbose.segments.length, speech: speech.audio.uint8Array.length,
            lengths: vectors.embeddings.map((each) => each.length),
        }};
    """)
    assert told["text"]
    assert set(told["object"]) == {"name", "age"}
    assert isinstance(told["object"]["age"], int)
    assert told["plain"] == spoken("What is the weather in Paris?")
    # Looked up by its English name.
    assert told["language"] == "en"
    assert told["segments"] == 1
    assert told["speech"] > 1_000
    assert told["lengths"] == [384, 384]
