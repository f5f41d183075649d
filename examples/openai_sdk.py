"""OpenAI's Python SDK with Morgan behind it: a question is spoken, transcribed, answered, and the answer spoken.

    python examples/openai_sdk.py "What is the capital of France?" answer.wav

`MORGAN_URL` says where Morgan is, `MORGAN_TOKEN` which key to show it. Nothing but the base URL differs from OpenAI.
"""

import os
import sys
from pathlib import Path

from openai import OpenAI
from openai.types.chat import ChatCompletionSystemMessageParam

SYSTEM: ChatCompletionSystemMessageParam = {"role": "system", "content": "You answer in one short sentence."}


def main(question: str, answer: Path) -> None:
    """Speech, transcription, chat and speech again."""
    url = os.environ.get("MORGAN_URL", "http://localhost:8000")
    client = OpenAI(base_url=f"{url}/v1", api_key=os.environ.get("MORGAN_TOKEN", "none"))
    spoken = client.audio.speech.create(model="tts-1", voice="alloy", input=question, response_format="wav")
    heard = client.audio.transcriptions.create(model="whisper-1", file=("question.wav", spoken.content))
    print(f"You:    {heard.text}")
    words = ""
    for chunk in client.chat.completions.create(
        model="morgan", messages=[SYSTEM, {"role": "user", "content": heard.text}], stream=True
    ):
        words += chunk.choices[0].delta.content or "" if chunk.choices else ""
    print(f"Morgan: {words}")
    client.audio.speech.create(model="tts-1", voice="alloy", input=words, response_format="wav").write_to_file(answer)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
