"""Call Morgan from Python: speak an audio file over WebRTC, print both sides, keep the sound of the answer.

    python examples/call_from_python.py tests/clips/question.wav answer.wav

`MORGAN_URL` says where Morgan is, `MORGAN_TOKEN` which key to show it.
"""

import asyncio
import os
import sys
from pathlib import Path

from server.cli.call import place_call, read_audio, write_wav


async def main(question: Path, answer: Path) -> None:
    """One call with one question."""
    url = os.environ.get("MORGAN_URL", "http://localhost:8000")
    report, heard = await place_call(read_audio(question), url, user_id="example")
    print(f"You:    {report.transcript}")
    print(f"Morgan: {report.reply}")
    print(f"From your last word to the first sound of the answer: {report.voice_to_voice_ms:.0f} ms")
    write_wav(answer, heard)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
