"""Speech and language engines behind the protocols of `pipeline.engines.protocols`."""
