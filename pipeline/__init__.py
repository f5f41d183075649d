"""The conversation: VAD > turn > STT > LLM > TTS, one actor per call, engines behind protocols. Knows no HTTP."""
