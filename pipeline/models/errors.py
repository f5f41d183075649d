"""Errors of weights on disk. Every message is a sentence for the person at the terminal."""


class ModelError(RuntimeError):
    """Base of everything that the model store raises on purpose."""


class ManifestError(ModelError):
    """`models.toml` is malformed; the message names the model and the key."""


class UnknownModelError(ModelError):
    """No model of that id is in the manifest; the message names the known ones."""


class ModelMissingError(ModelError):
    """A file of the model is not on disk; the message says which command fetches it."""


class ModelCorruptError(ModelError):
    """A file of the model is not what the manifest says; the message says which command mends it."""


class FetchError(ModelError):
    """A model could not be fetched from any source; the message says why from each."""


class SourceError(FetchError):
    """One source failed; the next one may not."""


class SourceUnreachableError(SourceError):
    """The source does not answer at all, so that there is no use in asking it for another file."""


class DiskFullError(FetchError):
    """There is no room for the model, now or before the download started."""
