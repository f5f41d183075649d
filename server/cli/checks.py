"""What `morgan doctor` looks at, one function for each thing: what was found, whether it will do, and what to do."""

import ctypes.util
import errno
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import httpx2

from media.addresses import bound_addresses
from pipeline.engines.gpu import free_gpu_memory, gpu
from pipeline.engines.protocols import EngineUnavailableError
from pipeline.engines.remote.look_up import look_up
from pipeline.engines.speeds import Unmeasured
from pipeline.models import ModelError, ModelStore
from pipeline.processor import usable_memory
from pipeline.tools.errors import ToolSetupError
from pipeline.tools.toolbox import Toolbox
from server.addresses import listening_addresses
from server.calibration.profile import load_profile
from server.calls.capacity import calls_in_time
from server.cli.check import Check
from server.conversations.tools import NO_TOOL_MODEL
from server.engines.factory import engines_here, llm_engine, mind_of, needed_models
from server.engines.library import faster_library, library_title
from server.minds.endpoints import clouds_known, found_here
from server.roles import SERVICES, port_of, services_of, takes_calls
from server.settings import Settings

GIB = 1 << 30
_COMMAND_LIMIT_S = 10.0
_IMPORT_LIMIT_S = 120.0


def all_checks(settings: Settings) -> Iterator[Check]:
    """Every check, in the order of the table, each made as it is asked for."""
    yield check_python()
    yield from check_machine()
    yield check_opus()
    yield check_ffmpeg()
    yield from check_packages(settings)
    yield from check_models(settings)
    yield from check_library(settings)
    yield from check_tools(settings)
    yield from check_folders(settings)
    yield check_calibration(settings)
    yield from check_ports(settings)
    yield from check_services(settings)
    yield from check_gpu(settings)
    yield from check_other_minds(settings)


def check_other_minds(settings: Settings) -> Iterator[Check]:
    """Language models that other programs on this machine have, and services of which there is a key."""
    for program, (url, models) in found_here().items():
        if settings.llm_base_url != url:
            shown = ", ".join(models[:5]) + (", ..." if len(models) > 5 else "")
            yield Check(program, "ok", f"{shown}; `morgan models use {url}` lets it answer")
    for cloud in clouds_known():
        if settings.llm_base_url != cloud.url:
            found = f"{cloud.key} is set: with its value in MORGAN_LLM_API_KEY, `morgan models use {cloud.url}"
            yield Check(cloud.name, "ok", f"{found} --model NAME` lets it answer")


def check_calibration(settings: Settings) -> Check:
    """What was measured on this machine, and how many calls that is enough for."""
    profile = load_profile(settings)
    if profile is None:
        return Check("Calibration", "ok", "not measured yet: the first start does it, or `morgan calibrate`")
    found = f"{profile.machine}; Whisper {profile.computing_in_words()}"
    found += f" with {profile.padding_s:g} s of silence behind speech"
    speeds = profile.speeds
    if speeds is None:
        return Check("Calibration", "ok", found)
    calls = calls_in_time(speeds, speeds.cores)
    if not isinstance(speeds.stt_s, Unmeasured):
        found += f"; a question of 3 s is text in {speeds.stt_s * 1000:.0f} ms"
    if not isinstance(speeds.llm, Unmeasured):
        found += f"; the answer's first word is there in {speeds.llm.first_s * 1000:.0f} ms"
    found += f"; {calls} call{'s' * (calls != 1)} in time"
    return Check("Calibration", "ok", found)


def check_tools(settings: Settings) -> Iterator[Check]:
    """The tools of the language model, where there are any declared."""
    if not settings.tools and not settings.mcp_servers:
        return
    found = ", ".join((*(tool.name for tool in settings.tools), *(each.name for each in settings.mcp_servers)))
    if not settings.service_urls("llm") and not _may_call_tools(settings):
        yield Check("Tools", "warn", f"{found}; not used: the model cannot call them", f"To use them, {NO_TOOL_MODEL}.")
        return
    try:
        Toolbox(settings.tools)
    except ToolSetupError as error:
        yield Check("Tools", "fail", found, str(error))
    else:
        yield Check("Tools", "ok", found)
    for server in settings.mcp_servers:
        if server.command is not None and shutil.which(server.command) is None:
            yield Check(
                "Tools", "fail", f"MCP server {server.name}: there is no program {server.command}", "Install it."
            )


def _may_call_tools(settings: Settings) -> bool:
    """Whether the language model was trained to call tools, as far as is known."""
    engine = llm_engine(settings)
    if engine != "llama.cpp":
        return engine == "openai"
    store = ModelStore(settings.models_dir)
    name, known = mind_of(settings), {model.id: model.mind for model in store.manifest.models}
    mind = known.get(name)
    return name not in known or (mind is not None and mind.tools)


def check_python() -> Check:
    """The interpreter that runs this."""
    found = f"{sys.version.split()[0]} in {sys.prefix}"
    if sys.version_info < (3, 11):  # noqa: UP036 - an installation can be forced past its requires-python
        return Check("Python", "fail", found, "Morgan needs 3.11 or newer: make clean, then make serve PYTHON=...")
    return Check("Python", "ok", found)


def check_machine() -> Iterator[Check]:
    """Cores and memory that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cores < 2:
        yield Check("Cores", "warn", str(cores), "One core is busy with one call; two keep the answers quick.")
    else:
        yield Check("Cores", "ok", str(cores))
    memory = usable_memory()
    if memory is None:
        yield Check("Memory", "warn", "unknown on this system", "Morgan needs about 1.5 GiB.")
    elif memory < 1.5 * GIB:
        yield Check("Memory", "fail", f"{memory / GIB:.1f} GiB usable", "The default models need about 1.5 GiB.")
    elif memory < 3 * GIB:
        yield Check("Memory", "warn", f"{memory / GIB:.1f} GiB usable", "Enough for a call or two; 3 GiB for more.")
    else:
        yield Check("Memory", "ok", f"{memory / GIB:.1f} GiB usable")


def check_opus() -> Check:
    """libopus, through the binding that the media package uses."""
    code = "from opuslib_next.api import info; print(info.get_version_string().decode())"
    result = _python(code)
    if result.returncode == 0:
        return Check("libopus", "ok", result.stdout.strip())
    system = ctypes.util.find_library("opus")
    advice = "Install the requirements again: make clean, then make serve."
    return Check("libopus", "fail", f"cannot be loaded ({system or 'none'} on the system)", advice)


def check_ffmpeg() -> Check:
    """ffmpeg's program; only tests and people use it, for PyAV carries its own libraries."""
    path = shutil.which("ffmpeg")
    if path is None:
        return Check("ffmpeg", "warn", "not found", "Only the tests use it. Debian, Ubuntu: apt-get install ffmpeg")
    result = _command([path, "-version"])
    return Check("ffmpeg", "ok", result.stdout.split(" Copyright")[0].strip() or path)


def check_packages(settings: Settings) -> Iterator[Check]:
    """Every engine package that these settings use, imported in a process of its own (native code may crash it)."""
    packages = {"aiortc": "", "av": "", "onnxruntime": "", "ctranslate2": "", "faster_whisper": ""}
    here = engines_here(settings)
    engine = llm_engine(settings) if "llm" in here else ""
    if engine == "llama.cpp":
        packages["xllamacpp"] = "make setup EXTRAS=piper,llama"
    elif engine == "transformers":
        packages |= {
            "torch": "make setup EXTRAS=piper,transformers",
            "transformers": "make setup EXTRAS=piper,transformers",
        }
    if settings.tts_engine == "local" and "tts" in here:
        packages["piper"] = "make setup EXTRAS=piper,llama"
    for package, extra in packages.items():
        yield check_package(package, extra or "make clean, then make serve")


def check_package(package: str, remedy: str) -> Check:
    """Whether a package can be imported, and which version it is.

    Args:
        package: its import name.
        remedy: the command that installs it.
    """
    code = (
        f"import importlib.metadata as m, {package}\n"
        f"names = m.packages_distributions().get({package!r}) or [{package!r}]\n"
        "print(f'{names[0]} {m.version(names[0])}')"
    )
    result = _python(code)
    if result.returncode == 0:
        return Check(f"Package {package}", "ok", result.stdout.strip().splitlines()[-1])
    last = (result.stderr.strip().splitlines() or ["no message"])[-1]
    if "libgomp" in last:
        # Wheels of llama.cpp leave OpenMP to the system, and slim images have none.
        remedy = "apt-get install libgomp1 (Debian, Ubuntu)"
    if result.returncode < 0:
        # A wheel that was compiled on another machine is the usual cause of SIGILL.
        remedy = f"rm -rf .venv; pip cache remove {package}; make serve"
        last = f"crashes on import (signal {-result.returncode}); it may have been compiled for another processor"
    return Check(f"Package {package}", "fail", last, f"Install it: {remedy}")


def check_models(settings: Settings) -> Iterator[Check]:
    """The weights that these settings use; unchanged files are not read again."""
    store = ModelStore(settings.models_dir)
    for model_id in needed_models(settings):
        try:
            store.path(model_id)
        except ModelError as error:
            found, _, advice = str(error).partition(". Run")
            # `morgan serve` fetches it by itself, so this stops nobody who is online.
            yield Check(f"Model {model_id}", "warn", found, f"Run{advice} (`morgan serve` does it by itself).")
        else:
            size = sum(file.size for file in store.manifest.get(model_id).files)
            yield Check(f"Model {model_id}", "ok", f"{size / 1e6:,.1f} MB, verified")


def check_library(settings: Settings) -> Iterator[Check]:
    """Which build of llama.cpp computes, and how a faster one is to be had."""
    title, faster = library_title(settings), faster_library(settings)
    if title:
        yield Check("llama.cpp", "ok", f"{title}; {faster}" if faster else title)


def check_folders(settings: Settings) -> Iterator[Check]:
    """Whether there is room where Morgan writes."""
    folders = (
        ("Data folder", settings.data_dir, "MORGAN_DATA_DIR"),
        ("Model folder", settings.models_dir, "MORGAN_MODELS_DIR"),
    )
    for name, folder, setting in folders:
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(existing).free
        found = f"{folder}, {free / GIB:,.1f} GiB free"
        if not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
            yield Check(name, "fail", f"{folder} cannot be written", f"Make it writable, or set {setting}.")
        elif free < GIB:
            yield Check(name, "warn", found, f"Make room (1 GiB), or set {setting}.")
        else:
            yield Check(name, "ok", found)


def check_ports(settings: Settings) -> Iterator[Check]:
    """Whether the ports that `morgan serve` opens are free, or already Morgan's."""
    calls = takes_calls(settings.role)
    for service in (*(["core"] if calls else []), *services_of(settings.role)):
        port = port_of(service, settings.port)
        name = f"TCP {port} ({service})"
        if all(_free(socket.SOCK_STREAM, address, port) for address in listening_addresses(settings.host)):
            yield Check(name, "ok", "free")
        elif _answers_as_morgan(settings.host, port):
            yield Check(name, "ok", "a Morgan answers there")
        else:
            yield Check(name, "fail", "taken by another program", "Choose other ports: morgan serve --port 9000")
    if not calls:
        return
    if settings.media_port == 0:
        yield Check("UDP (calls)", "ok", "a free port is taken at the start")
    elif all(
        _free(socket.SOCK_DGRAM, address, settings.media_port) for address in bound_addresses(settings.media_address)
    ):
        yield Check(f"UDP {settings.media_port} (calls)", "ok", "free")
    elif _answers_as_morgan(settings.host, settings.port):
        yield Check(f"UDP {settings.media_port} (calls)", "ok", "taken; a Morgan is running")
    else:
        yield Check(f"UDP {settings.media_port} (calls)", "fail", "taken", "Set MORGAN_MEDIA_PORT to another port.")


def check_services(settings: Settings) -> Iterator[Check]:
    """The services that this process uses in others: whether they answer, as what, and how quickly."""
    for name in SERVICES:
        urls = settings.service_urls(name)
        found = [check_service(name, url, settings.key_for_services) for url in urls]
        # Calls go on as long as one of each is there.
        spared = any(check.verdict == "ok" for check in found)
        for check in found:
            yield replace(check, verdict="warn") if spared and check.verdict == "fail" else check


def check_service(name: str, url: str, key: str) -> Check:
    """One of them.

    Args:
        name: "llm", "tts" or "stt".
        url: of its root.
        key: shown to it; empty for none.
    """
    began = time.monotonic()
    label = f"Service {name} at {url}"
    try:
        told = look_up(name, [url], "/health", key, 0.0)
        seconds = time.monotonic() - began
        if told.get("service") != name:
            return Check(label, "fail", f"it is no {name} service of Morgan", f"Check MORGAN_{name.upper()}_URL.")
        refused = _refuses(url, key)
    except EngineUnavailableError as error:
        return Check(label, "fail", str(error), f"Start it (morgan serve --role {name}), or check the address.")
    if refused:
        return Check(label, "fail", "it refuses the key", "Set MORGAN_SERVICE_KEY to one of its MORGAN_API_KEYS.")
    return Check(label, "ok", f"{told.get('engine')} {told.get('model')}, {seconds * 1000:.0f} ms")


def _refuses(url: str, key: str) -> bool:
    """Whether a service refuses a key; `/health` is open to all, `/metrics` is not."""
    try:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        answer = httpx2.get(f"{url}/metrics", headers=headers, timeout=2.0, trust_env=False)
    except (httpx2.HTTPError, httpx2.InvalidURL):
        return False
    return answer.status_code in (401, 403, 429)


def check_gpu(settings: Settings) -> Iterator[Check]:
    """An NVIDIA GPU and its driver, and which engines compute on it."""
    path = shutil.which("nvidia-smi")
    card = gpu()
    if path is None and card is None:
        yield Check("GPU", "ok", "none; the engines run on the CPU")
        return
    if card is None:
        told = _command([str(path)])
        problem = ((told.stdout or told.stderr).strip().splitlines() or ["no message"])[0]
        yield Check("GPU", "warn", f"cannot be used: {problem}", "The driver does not work; the CPU does.")
        return
    capability, cuda = (".".join(map(str, version)) for version in (card.capability, card.cuda))
    free = free_gpu_memory()
    memory = f"{card.memory / GIB:.1f} GiB" if free is None else f"{free / GIB:.1f} of {card.memory / GIB:.1f} GiB free"
    yield Check("GPU", "ok", f"{card.name}, {memory}, compute capability {capability}, its driver knows CUDA {cuda}")
    profile = load_profile(settings)
    if profile is None:
        yield Check("Devices", "ok", "not tried yet: the first start does it, or `morgan calibrate`")
        return
    for role, device in profile.devices.items():
        yield Check(f"Device of {role}", "ok", device)


def _free(kind: socket.SocketKind, host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, kind) as probe:
            if kind == socket.SOCK_STREAM:
                # As the server itself does: a connection in TIME_WAIT does not make a port taken.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((host, port))
    except OSError as error:
        # Where there is no IPv6, nobody can have taken its ports.
        return family == socket.AF_INET6 and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
    return True


def _answers_as_morgan(host: str, port: int) -> bool:
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - looked up, not bound
    url = f"http://[{address}]:{port}/health" if ":" in address else f"http://{address}:{port}/health"
    try:
        body = httpx2.get(url, timeout=1.0, trust_env=False).json()
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError):
        return False
    # Of the core, or of a service; where there are keys it says no more than that to who shows none.
    whose = {"components", "service"}
    return isinstance(body, dict) and "status" in body and not whose.isdisjoint(body)


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return _command([sys.executable, "-c", code], _IMPORT_LIMIT_S)


def _command(command: list[str], limit_s: float = _COMMAND_LIMIT_S) -> subprocess.CompletedProcess[str]:
    """Run a command; one that hangs or cannot be run fails with that as its message."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 127, "", str(error))
