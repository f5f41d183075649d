"""Engines that are installed here, by role and id.

An entry point of the group `morgan.engines` is named ROLE.ID and its value is an `EnginePlugin`:

    [project.entry-points."morgan.engines"]
    "tts.chime" = "chime_voice:PLUGIN"

Morgan's own are registered the same way. They are found without that too, because an editable installation keeps the
entry points that it had when it was made.
"""

import importlib.metadata
import sys
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from pipeline.engines.protocols import EngineUnavailableError
from pipeline.plugins.built_in import BUILT_IN
from pipeline.plugins.engine_plugin import EnginePlugin, EngineRole

GROUP = "morgan.engines"

Plugin = EnginePlugin[Any]


def known_ids(role: EngineRole) -> list[str]:
    """Ids of the engines of a role, Morgan's own first."""
    return list(dict.fromkeys([*(own.id for own in _own(role)), *_entry_points(role)]))


def find_engine(role: EngineRole, engine_id: str) -> Plugin:
    """The engine of a role that is called so.

    Raises:
        EngineUnavailableError: there is none, there are two, or its package cannot be imported; the message says which.
    """
    registered = _entry_points(role).get(engine_id, [])
    if len({point.value for point in registered}) > 1:
        packages = ", ".join(sorted({_package(point) for point in registered}))
        raise EngineUnavailableError(
            f"several packages have a {role} engine {engine_id!r}: {packages}; remove all but one"
        )
    if registered:
        return _loaded(role, engine_id, registered[0])
    for own in _own(role):
        if own.id == engine_id:
            return own
    raise EngineUnavailableError(f"there is no {role} engine {engine_id!r}; there are {', '.join(known_ids(role))}")


def engines_for_folders(role: EngineRole) -> Iterator[Plugin]:
    """The engines of a role that tell whether they fit a folder; those of other packages first."""
    own = {each.id: each for each in _own(role)}
    for engine_id in _entry_points(role):
        if engine_id not in own:
            plugin = find_engine(role, engine_id)
            if plugin.fits is not None:
                yield plugin
    yield from (each for each in own.values() if each.fits is not None)


def _own(role: EngineRole) -> list[Plugin]:
    return [plugin for plugin in BUILT_IN if plugin.role == role]


def _entry_points(role: EngineRole) -> dict[str, list[importlib.metadata.EntryPoint]]:
    found: dict[str, list[importlib.metadata.EntryPoint]] = {}
    for point in _installed(tuple(sys.path)):
        its_role, _, engine_id = point.name.partition(".")
        if its_role == role and engine_id:
            found.setdefault(engine_id, []).append(point)
    return found


@lru_cache(maxsize=1)
def _installed(path: tuple[str, ...]) -> importlib.metadata.EntryPoints:
    """The entry points on a search path, read once: that opens the metadata of all packages, for 10 ms, and settings
    ask for each of six engines."""
    return importlib.metadata.entry_points(group=GROUP)


def _loaded(role: EngineRole, engine_id: str, point: importlib.metadata.EntryPoint) -> Plugin:
    where = f"the {role} engine {engine_id!r} of the package {_package(point)}"
    try:
        plugin = point.load()
    except Exception as error:  # whatever a foreign module raises when it is imported
        raise EngineUnavailableError(f"{where} cannot be imported: {type(error).__name__}: {error}") from error
    if not isinstance(plugin, EnginePlugin) or (plugin.role, plugin.id) != (role, engine_id):
        raise EngineUnavailableError(f"{where} is no EnginePlugin of that role and id, but {plugin!r}")
    return plugin


def _package(point: importlib.metadata.EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.module
