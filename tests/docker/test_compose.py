"""compose.yaml: a valid file whose services start with what it hands them, and that says what it lacks."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from persistence.postgres.schema import load_migrations
from pipeline.engines.llm.llama_builds import ANY_ID, CUDA_ID
from server.roles import port_of
from server.settings import Settings, load_settings

GIVEN = {
    "MORGAN_API_KEYS": "0123456789abcdef01234567",
    "MORGAN_SERVICE_KEY": "service-key-0123456789abcdef",
    "POSTGRES_PASSWORD": "fedcba9876543210",
    "REDIS_PASSWORD": "redis-9876543210",
    "QDRANT_API_KEY": "qdrant-9876543210",
    "MORGAN_PUBLIC_IP": "203.0.113.7",
}
"""What whoever starts it has to give."""

SUBSTITUTION = re.compile(r"\$\{(\w+):([-?])([^}]*)\}")


@pytest.fixture(scope="module")
def folder(repository: Path) -> Path:
    """Where the container files are."""
    return repository / "docker"


@pytest.fixture(scope="module")
def compose(folder: Path) -> dict[str, Any]:
    """compose.yaml as it is written."""
    return yaml.safe_load((folder / "compose.yaml").read_text())


def substituted(text: str, given: dict[str, str]) -> str:
    """A value as compose hands it on.

    Raises:
        KeyError: a required variable is not given.
    """

    def value(found: re.Match[str]) -> str:
        name, kind, rest = found.groups()
        return given.get(name, rest) if kind == "-" else given[name]

    return SUBSTITUTION.sub(value, text)


def settings_of(service: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What Morgan reads in a container of a service: the image's variables and compose's, and its command line."""
    role = service["command"][service["command"].index("--role") + 1]
    environ = {"MORGAN_HOST": "0.0.0.0", "MORGAN_DATA_DIR": "/data", "MORGAN_MODELS_DIR": "/models"}
    environ |= {name: substituted(value, GIVEN) for name, value in service["environment"].items()}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return load_settings({"role": role})


def test_the_compose_files_fit_the_specification(folder: Path) -> None:
    files = [str(folder / name) for name in ("compose.yaml", "compose.cuda.yaml")]
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", *files]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stdout


def test_a_wrong_compose_file_does_not_pass(compose: dict[str, Any], tmp_path: Path) -> None:
    compose = {**compose, "services": {"core": {"imagee": "morgan"}}}
    (tmp_path / "compose.yaml").write_text(yaml.safe_dump(compose))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    checked = subprocess.run([*command, str(tmp_path / "compose.yaml")], capture_output=True, text=True, timeout=60)
    assert checked.returncode == 1
    assert "imagee" in checked.stdout


@pytest.mark.parametrize("role", ["core", "llm", "tts", "stt"])
def test_each_role_takes_its_environment(role: str, compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(compose["services"][role], monkeypatch)
    assert settings.role == role
    # Callers' keys are no business of the services: whoever has one gets no further than the core.
    own = GIVEN["MORGAN_API_KEYS" if role == "core" else "MORGAN_SERVICE_KEY"]
    assert [key.get_secret_value() for key in settings.api_keys] == [own]
    assert settings.postgres_dsn is not None
    assert settings.postgres_dsn.get_secret_value() == "postgresql://morgan:fedcba9876543210@postgres:5432/morgan"
    assert settings.redis_url is not None
    assert settings.redis_url.get_secret_value() == "redis://:redis-9876543210@redis:6379/0"


def test_the_core_finds_each_service_where_it_listens(compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    core = settings_of(compose["services"]["core"], monkeypatch)
    assert core.key_for_services == GIVEN["MORGAN_SERVICE_KEY"]
    assert core.qdrant_api_key.get_secret_value() == GIVEN["QDRANT_API_KEY"]
    for service in ("llm", "tts", "stt"):
        assert core.service_urls(service) == (f"http://{service}:{port_of(service, 8000)}",)
        assert f"127.0.0.1:{port_of(service, 8000)}/" in compose["services"][service]["healthcheck"]["test"][-1]


def test_the_media_port_is_published_as_it_is_announced(
    compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    core = compose["services"]["core"]
    settings = settings_of(core, monkeypatch)
    udp = [substituted(port, GIVEN) for port in core["ports"] if port.endswith("/udp")]
    assert udp == [f"{settings.media_port}:{settings.media_port}/udp"]
    assert settings.public_ip == ("203.0.113.7",)


@pytest.mark.parametrize("name", list(GIVEN))
def test_what_is_required_is_asked_for(name: str, folder: Path) -> None:
    text = (folder / "compose.yaml").read_text()
    with pytest.raises(KeyError, match=name):
        substituted(text, {other: value for other, value in GIVEN.items() if other != name})


def test_nothing_starts_before_what_it_needs(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "test" in services[needed]["healthcheck"], f"{name} waits for the health of {needed}"
    assert {"postgres", "redis", "qdrant", "llm", "tts", "stt", "models"} <= services["core"]["depends_on"].keys()


def test_the_schema_is_mounted_as_init_scripts(compose: dict[str, Any], folder: Path) -> None:
    mounts = dict(mount.split(":")[:2] for mount in compose["services"]["postgres"]["volumes"])
    source = next(source for source, target in mounts.items() if target == "/docker-entrypoint-initdb.d")
    assert load_migrations(folder / source) == load_migrations()


def test_every_volume_is_declared(compose: dict[str, Any]) -> None:
    used = {mount.split(":")[0] for service in compose["services"].values() for mount in service.get("volumes", ())}
    assert {name for name in used if not name.startswith((".", "/"))} == set(compose["volumes"])


STORES = ("postgres", "redis", "qdrant")


def test_only_the_core_can_be_reached_and_the_rest_reaches_nobody(compose: dict[str, Any]) -> None:
    services, networks = compose["services"], compose["networks"]
    assert networks["back"]["internal"] is True
    reachable = {name for name, service in services.items() if "front" in service["networks"]}
    # The weights come from outside, once, by a container that ends.
    assert reachable == {"core", "models"}
    assert {name for name, service in services.items() if service.get("ports")} == {"core"}
    assert "back" not in services["models"]["networks"]
    assert all(service["networks"] == ["back"] for name, service in services.items() if name not in reachable)


def test_no_container_can_do_more_than_its_work(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["pids_limit"] > 0, name
        assert re.fullmatch(r"\$\{\w+:-\d+[gm]\}", service["mem_limit"]), name
        assert "privileged" not in service, name
        assert not {"cap_add", "network_mode", "pid"} & service.keys(), name


def test_every_store_asks_for_a_password_and_shows_it_to_nobody(compose: dict[str, Any]) -> None:
    services = compose["services"]
    secrets = {"postgres": "POSTGRES_PASSWORD", "redis": "REDIS_PASSWORD", "qdrant": "QDRANT_API_KEY"}
    for store, secret in secrets.items():
        assert any(f"${{{secret}:?" in value for value in services[store]["environment"].values()), store
        # On a command line, everybody on the machine could read it.
        assert all(GIVEN[secret] not in substituted(word, GIVEN) for word in services[store].get("command", ()))
    assert "requirepass" in services["redis"]["command"][-1]
    assert "QDRANT__SERVICE__API_KEY" in services["qdrant"]["environment"]


def test_what_is_written_to_lies_in_volumes_or_in_memory(compose: dict[str, Any]) -> None:
    """Root file systems are read-only: each place that an image writes to has to be mounted."""
    written = {
        "core": {"/data", "/models", "/tmp"},
        "llm": {"/data", "/models", "/tmp"},
        "tts": {"/data", "/models", "/tmp"},
        "stt": {"/data", "/models", "/tmp"},
        "models": {"/models", "/tmp"},
        "postgres": {"/var/lib/postgresql/data", "/var/run/postgresql", "/tmp"},
        "redis": {"/data"},
        "qdrant": {"/qdrant/storage"},
    }
    for name, places in written.items():
        service = compose["services"][name]
        mounted = {mount.split(":")[1] for mount in service.get("volumes", ())}
        mounted |= {mount.split(":")[0] for mount in service.get("tmpfs", ())}
        assert places <= mounted, name


def test_images_of_others_are_named_by_their_digest(compose: dict[str, Any], folder: Path) -> None:
    digest = re.compile(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}")
    assert all(digest.fullmatch(compose["services"][store]["image"]) for store in STORES)
    images = re.findall(r"^ARG \w+_IMAGE=(.*)$", (folder / "Dockerfile").read_text(), re.MULTILINE)
    assert len(images) == 1
    assert all(digest.fullmatch(image) for image in images)


def test_every_process_with_engines_has_the_gpu_and_the_kernels_for_it(folder: Path, compose: dict[str, Any]) -> None:
    overlay = yaml.safe_load((folder / "compose.cuda.yaml").read_text())["services"]
    morgans = {name for name, service in compose["services"].items() if "morgan:" in service["image"]}
    assert overlay.keys() == morgans
    assert {service["build"]["target"] for service in overlay.values()} == {"cuda"}
    with_gpu = {name for name, service in overlay.items() if "deploy" in service}
    assert with_gpu == morgans - {"models"}
    dockerfile = (folder / "Dockerfile").read_text()
    assert f"morgan models pull {ANY_ID} {CUDA_ID}\n" in dockerfile
    assert "/opt/models/. /models/" in overlay["models"]["entrypoint"][-1]
