"""The services: language model, speech synthesis and transcription, each an API on a port of its own."""
