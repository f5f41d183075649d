"""Tools that are Python functions. Each run has a thread of its own, because how long they block is not known."""

import asyncio
import contextlib
import importlib
import inspect
import json
import threading
from collections.abc import Callable
from typing import Any

from pipeline.tools.declaration import ToolDeclaration
from pipeline.tools.errors import ToolError, ToolSetupError

MAX_THREADS = 16
"""Runs at once, those included that are not waited for any more; one more is refused."""

_places = threading.BoundedSemaphore(MAX_THREADS)


class PythonTool:
    """Runs one tool.

    Args:
        declaration: of it.

    Raises:
        ToolSetupError: there is no such function.
    """

    def __init__(self, declaration: ToolDeclaration) -> None:
        self._name = declaration.name
        self._function = _found(declaration)

    async def run(self, arguments: dict[str, Any]) -> str:
        """What the function returns: text as it is, anything else as JSON.

        Cancelling stops an async function; a plain one runs to its end, unheard.

        Raises:
            ToolError: it raised something, or too many run already.
        """
        if not _places.acquire(blocking=False):
            raise ToolError("too many tools are running")
        work = _Work(self._function, arguments, asyncio.get_running_loop())
        threading.Thread(target=work.run, name=f"tool-{self._name}", daemon=True).start()
        try:
            return _as_text(await work.result)
        except ToolError:
            raise
        except Exception as error:
            raise ToolError(f"the tool failed: {type(error).__name__}: {error}") from error
        finally:
            work.stop()


def _found(declaration: ToolDeclaration) -> Callable[..., Any]:
    module, _, path = (declaration.function or "").partition(":")
    where = f"tool {declaration.name}: {declaration.function}"
    try:
        found: Any = importlib.import_module(module)
        for name in path.split("."):
            found = getattr(found, name)
    except ImportError as error:
        raise ToolSetupError(f"{where} cannot be imported ({error}): is it installed where Morgan is?") from error
    except AttributeError as error:
        raise ToolSetupError(f"{where} is not there ({error})") from error
    except Exception as error:
        raise ToolSetupError(f"{where} fails on import: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise ToolSetupError(f"{where} is no function")
    return found  # type: ignore[no-any-return]


class _Work:
    """One run, in its thread."""

    def __init__(self, function: Callable[..., Any], arguments: dict[str, Any], waiter: asyncio.AbstractEventLoop):
        self.result: asyncio.Future[Any] = waiter.create_future()
        self._function = function
        self._arguments = arguments
        self._waiter = waiter
        self._lock = threading.Lock()
        self._task: asyncio.Task[Any] | None = None
        self._stopped = False

    def run(self) -> None:
        """Run the function; called in the thread."""
        try:
            outcome, failed = self._called(), False
        except BaseException as error:  # whatever it is, the waiter has to learn of it
            outcome, failed = error, True
        finally:
            _places.release()
        with contextlib.suppress(RuntimeError):
            self._waiter.call_soon_threadsafe(self._settle, outcome, failed)

    def _called(self) -> Any:
        if not inspect.iscoroutinefunction(self._function):
            return self._function(**self._arguments)
        with asyncio.Runner() as runner:
            with self._lock:
                if self._stopped:
                    return None
                self._task = runner.get_loop().create_task(self._function(**self._arguments))
            return runner.get_loop().run_until_complete(self._task)

    def _settle(self, outcome: Any, failed: bool) -> None:
        if self.result.done():
            return
        if not failed:
            self.result.set_result(outcome)
        elif isinstance(outcome, Exception):
            self.result.set_exception(outcome)
        else:
            self.result.set_exception(ToolError(f"the tool ended with {type(outcome).__name__}"))

    def stop(self) -> None:
        """Say that the run is not waited for any more."""
        with self._lock:
            self._stopped = True
            if self._task is not None and not self._task.done():
                with contextlib.suppress(RuntimeError):
                    self._task.get_loop().call_soon_threadsafe(self._task.cancel)


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError) as error:
        raise ToolError(f"the tool returned what is no JSON: {type(error).__name__}") from error
