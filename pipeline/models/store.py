"""The weights on this machine: where they are, whether they are right, and getting those that are not."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from pipeline.models.added import add_from_hub, with_added
from pipeline.models.errors import FetchError, ModelCorruptError, ModelMissingError
from pipeline.models.fetch import Fetch, free_bytes
from pipeline.models.hub import Hub, process_hub
from pipeline.models.locks import file_lock
from pipeline.models.manifest import Manifest, Model
from pipeline.models.progress import FetchProgress, ProgressCallback, no_progress
from pipeline.models.stamps import FileReport, StampBook


def default_root(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of weights: `MORGAN_MODELS_DIR`, else `~/.cache/morgan/models`."""
    named = environ.get("MORGAN_MODELS_DIR")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "morgan" / "models"


class ModelStore:
    """The folder of weights, one folder for each model: `<root>/<model id>/<file>`.

    All methods block (hashing, network); call them before the event loop runs or from a thread.

    Args:
        root: the folder; made when something is fetched.
        manifest: the models; `pipeline/models.toml`, and those that were added on this machine, when not given.
        hub: where to fetch from first; the hub of this process when not given.
        free: bytes free on the disk of a folder.
    """

    def __init__(
        self,
        root: Path,
        *,
        manifest: Manifest | None = None,
        hub: Hub | None = None,
        free: Callable[[Path], int] = free_bytes,
    ) -> None:
        self.root = root
        self.manifest = manifest or with_added(Manifest.load(), root)
        self._hub = hub or process_hub()
        self._free = free
        self._stamps: dict[str, StampBook] = {}

    def path(self, model_id: str) -> Path:
        """The folder of a model whose files are all there and right.

        Hashes the files the first time, and after that only those that changed (see `stamps`).

        Raises:
            UnknownModelError: there is no such model.
            ModelMissingError: a file is not there; the message has the command that fetches it.
            ModelCorruptError: a file is not what it should be; the message has the command that mends it.
        """
        model = self.manifest.get(model_id)
        bad = [report for report in self._check(model) if report.state != "ok"]
        if bad:
            first = bad[0]
            kind = ModelCorruptError if any(report.state == "corrupt" for report in bad) else ModelMissingError
            raise kind(
                f"Model {model_id} is not ready: {first.file.path} {first.detail} in {self.root / model_id}. "
                f"Run `morgan models pull {model_id}`."
            )
        return self.root / model_id

    def add(self, name: str) -> Model:
        """Make a GGUF file of the hub known, "hf:owner/repository/file.gguf", as one of the manifest.

        Raises:
            FetchError: the hub does not answer or has no such file.
        """
        model = add_from_hub(self.root, name, self._hub)
        self.manifest = with_added(self.manifest, self.root)
        return model

    def ensure(self, model_ids: Iterable[str] | None = None, progress: ProgressCallback = no_progress) -> None:
        """Fetch whatever is missing of these models, or not right.

        Args:
            model_ids: which; the default models when not given.
            progress: told how it goes, in this thread.

        Raises:
            UnknownModelError: there is no such model; nothing was fetched.
            FetchError: a model could not be fetched, with `DiskFullError` for the lack of room.
        """
        if model_ids is None:
            models = self.manifest.defaults()
        else:
            models = tuple(self.manifest.get(model_id) for model_id in model_ids)
        for model in models:
            self._ensure(model, progress)

    def verify(self, model_ids: Iterable[str] | None = None, *, read_again: bool = True) -> list[FileReport]:
        """What is on disk of these models (of all when not given), file by file.

        Args:
            model_ids: which.
            read_again: hash every file anew; False trusts the stamps of unchanged files.

        Raises:
            UnknownModelError: there is no such model.
        """
        if model_ids is None:
            models = self.manifest.models
        else:
            models = tuple(self.manifest.get(model_id) for model_id in model_ids)
        return [report for model in models for report in self._check(model, read_again=read_again)]

    def _check(self, model: Model, *, read_again: bool = False) -> list[FileReport]:
        stamps = self._stamps.setdefault(model.id, StampBook(self.root / model.id))
        return stamps.check(model, read_again=read_again)

    def _ensure(self, model: Model, progress: ProgressCallback) -> None:
        if self._complete(model, progress):
            return
        staging = self.root / ".incoming"
        try:
            staging.mkdir(parents=True, exist_ok=True)
            lock = file_lock(
                staging / f"{model.id}.lock", lambda: progress(FetchProgress(model.id, "waiting", 0, model.size))
            )
            with lock:
                # Another process may have fetched it while this one waited.
                if not self._complete(model, progress):
                    self._fetch(model, staging / model.id, progress)
        except OSError as error:
            raise FetchError(
                f"Cannot write weights to {self.root}: {error.strerror or error}. "
                "Set MORGAN_MODELS_DIR to a folder of yours."
            ) from error

    def _complete(self, model: Model, progress: ProgressCallback) -> bool:
        complete = all(report.state == "ok" for report in self._check(model))
        if complete:
            progress(FetchProgress(model.id, "present", model.size, model.size))
        return complete

    def _fetch(self, model: Model, staging: Path, progress: ProgressCallback) -> None:
        reports = self._check(model)
        for report in reports:
            if report.state == "corrupt":
                (self.root / model.id / report.file.path).unlink()
        fetch = Fetch(
            model,
            self.root / model.id,
            staging,
            stamps=self._stamps[model.id],
            hub=self._hub,
            progress=progress,
            free=self._free,
        )
        fetch.run([report.file for report in reports if report.state != "ok"])
