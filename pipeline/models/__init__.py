"""The weights: a manifest of every file and the fetching of what is missing."""

from pipeline.models.errors import (
    DiskFullError,
    FetchError,
    ManifestError,
    ModelCorruptError,
    ModelError,
    ModelMissingError,
    UnknownModelError,
)
from pipeline.models.manifest import Manifest, Mind, Model, ModelFile, ModelRole
from pipeline.models.progress import FetchProgress, ProgressCallback
from pipeline.models.stamps import FileReport
from pipeline.models.store import ModelStore, default_root

__all__ = [
    "DiskFullError",
    "FetchError",
    "FetchProgress",
    "FileReport",
    "Manifest",
    "ManifestError",
    "Mind",
    "Model",
    "ModelCorruptError",
    "ModelError",
    "ModelFile",
    "ModelMissingError",
    "ModelRole",
    "ModelStore",
    "ProgressCallback",
    "UnknownModelError",
    "default_root",
]
