"""The manifest of weights: `pipeline/models.toml`, read and checked."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, Literal, cast, get_args

from pipeline.models.errors import ManifestError, UnknownModelError

ModelRole = Literal["stt", "llm", "tts", "turn", "vad", "embedder", "speech", "library"]

MANIFEST_PATH = Path(__file__).resolve().parent.parent / "models.toml"

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_PACKAGE = re.compile(r"(@[a-z0-9][a-z0-9._-]*/)?[a-z0-9][a-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class HubSource:
    """A repository of a model hub at one revision (a commit hash, or a tag or branch where none is known)."""

    repository: str
    revision: str


@dataclass(frozen=True, slots=True)
class WheelSource:
    """A distribution of the Python package index that carries weights.

    Attributes:
        distribution: its name there.
        version: the exact version.
        size: of the wheel in bytes; for progress and the check for disk space only.
    """

    distribution: str
    version: str
    size: int


@dataclass(frozen=True, slots=True)
class NpmSource:
    """A package of the npm registry that carries files.

    Attributes:
        package: its name there, with its scope.
        version: the exact version.
        size: of the tarball in bytes; for progress and the check for disk space only.
    """

    package: str
    version: str
    size: int


@dataclass(frozen=True, slots=True)
class WheelMember:
    """A file inside a wheel."""

    distribution: str
    path: str


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model.

    Attributes:
        path: relative to the model's folder, with forward slashes.
        size: in bytes.
        sha256: 64 lower-case hexadecimal digits.
        hub_path: where it lies in the hub repository.
        members: parts inside wheels which, joined in this order, are the file.
        npm_path: where it lies in the tarball of the npm package; empty where it is not in there.
    """

    path: str
    size: int
    sha256: str
    hub_path: str
    members: tuple[WheelMember, ...]
    npm_path: str = ""


@dataclass(frozen=True, slots=True)
class Mind:
    """What a language model is good for.

    Attributes:
        rank: among language models, the wisest highest.
        right: of the sixty questions of `morgan bench minds`; None where they were not asked.
        parameters: billions.
        context: tokens that it was trained for.
        cache: bytes that it keeps of a token, in 16 bits: layers x key-value heads x their width x 4.
        tools: whether it was trained to call tools.
        languages: ISO 639-1, the first one best.
    """

    rank: int
    right: int | None
    parameters: float
    context: int
    cache: int
    tools: bool
    languages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """A model and where to get it.

    Attributes:
        id: name of its folder, and of the model on the command line.
        role: what it does in a call; "speech" are recordings to measure with, a "library" computes for an engine.
        default: fetched unasked.
        title: for people.
        licence: of the files (SPDX where there is one).
        upstream: who made it, as "owner/name".
        hub: the hub repository, None when the model is in none.
        wheels: the wheels that carry it.
        files: all files, at least one.
        mind: of a language model, where that is known.
        npm: the npm package that carries it, None when there is none.
    """

    id: str
    role: ModelRole
    default: bool
    title: str
    licence: str
    upstream: str
    hub: HubSource | None
    wheels: tuple[WheelSource, ...]
    files: tuple[ModelFile, ...]
    mind: Mind | None = None
    npm: NpmSource | None = None

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True)
class Manifest:
    """All known models, in the order of the file."""

    models: tuple[Model, ...]

    @classmethod
    def load(cls, path: Path = MANIFEST_PATH) -> "Manifest":
        """Read a manifest, anew only where the file has changed: TOML is parsed in Python, 20 ms for these models.

        Raises:
            ManifestError: it cannot be read or is malformed.
        """
        try:
            return _read(path, path.stat().st_mtime_ns)
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise ManifestError(f"{path.name}: {error}") from error

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> "Manifest":
        """Build a manifest from decoded TOML.

        Raises:
            ManifestError: it is malformed; the message names the model and the key.
        """
        if data.get("schema") != 1:
            raise ManifestError(f"models.toml: schema {data.get('schema')!r} is not 1")
        models = tuple(_model(table) for table in data.get("model", ()))
        _unique("model id", (model.id for model in models))
        return cls(models)

    def get(self, model_id: str) -> Model:
        """The model of that id.

        Raises:
            UnknownModelError: there is none; the message names all.
        """
        for model in self.models:
            if model.id == model_id:
                return model
        known = ", ".join(model.id for model in self.models)
        raise UnknownModelError(f"There is no model {model_id!r}. Known are: {known}.")

    def defaults(self) -> tuple[Model, ...]:
        """The models that a call needs when nothing is configured."""
        return tuple(model for model in self.models if model.default)


@lru_cache(maxsize=1)
def _read(path: Path, changed_ns: int) -> Manifest:
    """The manifest in a file as it was at its last change."""
    with path.open("rb") as file:
        return Manifest.parse(tomllib.load(file))


def _model(table: Mapping[str, Any]) -> Model:
    where = f"models.toml: model {table.get('id', '(without id)')}"
    role = _text(table, "role", where)
    if role not in get_args(ModelRole):
        raise ManifestError(f"{where}: role {role!r} is none of {', '.join(get_args(ModelRole))}")
    wheels = tuple(_wheel(wheel, where) for wheel in table.get("wheels", ()))
    files = tuple(_file(file, where) for file in table.get("file", ()))
    model = Model(
        id=_matching(table, "id", _ID, where),
        role=cast("ModelRole", role),
        default=table.get("default") is True,
        title=_text(table, "title", where),
        licence=_text(table, "licence", where),
        upstream=_text(table, "upstream", where),
        hub=_hub(table["hub"], where) if "hub" in table else None,
        wheels=wheels,
        files=files,
        mind=_mind(table["mind"], where) if "mind" in table else None,
        npm=_npm(table["npm"], where) if "npm" in table else None,
    )
    _check_sources(model, where)
    return model


def _check_sources(model: Model, where: str) -> None:
    """Every file must have a source, and every wheel that it names must be listed."""
    if not model.files:
        raise ManifestError(f"{where}: has no files")
    _unique(f"{where}: path", (file.path for file in model.files))
    distributions = [wheel.distribution for wheel in model.wheels]
    _unique(f"{where}: wheel", distributions)
    for file in model.files:
        if file.npm_path and model.npm is None:
            raise ManifestError(f"{where}: file {file.path} names a path in no npm package")
        if model.hub is None and not file.members and not file.npm_path:
            raise ManifestError(f"{where}: file {file.path} has no source")
        for member in file.members:
            if member.distribution not in distributions:
                raise ManifestError(f"{where}: file {file.path} names the unlisted wheel {member.distribution}")


def _hub(table: Mapping[str, Any], where: str) -> HubSource:
    where = f"{where}: hub"
    return HubSource(_matching(table, "repository", _REPOSITORY, where), _matching(table, "revision", _ID, where))


def _mind(table: Mapping[str, Any], where: str) -> Mind:
    try:
        return Mind(
            int(table["rank"]),
            int(table["right"]) if "right" in table else None,
            float(table["parameters"]),
            int(table["context"]),
            int(table["cache"]),
            table["tools"] is True,
            tuple(str(code) for code in table["languages"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ManifestError(f"{where}: mind: {error!r}") from error


def _wheel(table: Mapping[str, Any], where: str) -> WheelSource:
    where = f"{where}: wheels"
    # Both go onto pip's command line, where a leading dash would be an option.
    return WheelSource(
        _matching(table, "distribution", _ID, where), _matching(table, "version", _ID, where), _size(table, where)
    )


def _npm(table: Mapping[str, Any], where: str) -> NpmSource:
    where = f"{where}: npm"
    # As with wheels: both go onto a command line.
    return NpmSource(
        _matching(table, "package", _PACKAGE, where), _matching(table, "version", _ID, where), _size(table, where)
    )


def _file(table: Mapping[str, Any], where: str) -> ModelFile:
    where = f"{where}: file {table.get('path', '(without path)')}"
    path = _relative(_text(table, "path", where), where)
    return ModelFile(
        path=path,
        size=_size(table, where),
        sha256=_matching(table, "sha256", _SHA256, where),
        hub_path=_relative(str(table.get("hub_path", path)), where),
        members=tuple(_member(member, where) for member in table.get("wheel_paths", ())),
        npm_path=_relative(str(table["npm_path"]), where) if "npm_path" in table else "",
    )


def _member(text: object, where: str) -> WheelMember:
    distribution, separator, path = str(text).partition(":")
    if not (separator and distribution):
        raise ManifestError(f"{where}: wheel path {text!r} is not of the form 'distribution:path'")
    return WheelMember(distribution, _relative(path, where))


def _relative(text: str, where: str) -> str:
    """A path that stays inside its folder, because files are written where it points."""
    path = PurePosixPath(text)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\\" in text or text != str(path):
        raise ManifestError(f"{where}: {text!r} is not a plain relative path")
    return text


def _text(table: Mapping[str, Any], key: str, where: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value:
        raise ManifestError(f"{where}: {key} is missing or not a text")
    return value


def _matching(table: Mapping[str, Any], key: str, pattern: re.Pattern[str], where: str) -> str:
    value = _text(table, key, where)
    if not pattern.fullmatch(value):
        raise ManifestError(f"{where}: {key} {value!r} is malformed")
    return value


def _size(table: Mapping[str, Any], where: str) -> int:
    value = table.get("size")
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ManifestError(f"{where}: size is missing or not a positive number of bytes")
    return value


def _unique(what: str, values: Iterable[str]) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise ManifestError(f"{what} {value} is there twice")
        seen.add(value)
