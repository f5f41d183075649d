"""What the options of an engine are filled from."""

from pathlib import Path

import pytest

from pipeline.engines.protocols import EngineError
from pipeline.plugins.built_in import FASTER_WHISPER, OPENAI_CHAT, PIPER, SMART_TURN
from pipeline.plugins.engine_plugin import EngineOptions, EnginePlugin
from server.engines.factory import build_stt, needed_models, options_of
from server.settings import Settings, SettingsError, load_settings


def test_an_option_without_a_default_is_filled_from_the_setting_of_its_role() -> None:
    assert options_of(FASTER_WHISPER, Settings()).model_dump() == {
        "model": "whisper-base",
        "device": "auto",
        "compute_type": "auto",
        "runtime": "auto",
        "lanes": None,
        "languages": (),
    }


def test_a_setting_that_was_set_fills_an_option_and_a_default_does_not() -> None:
    class Own(EngineOptions):
        model: str = "own-model"
        lanes: int | None = None

    plugin = EnginePlugin("own", "stt", Own, lambda options, host: None)  # type: ignore[arg-type,return-value]
    assert options_of(plugin, Settings()) == Own()
    assert options_of(plugin, Settings(stt_model="other", stt_lanes=3)) == Own(model="other", lanes=3)


def test_engine_options_win_over_settings() -> None:
    given = {"faster-whisper": {"device": "cuda", "compute_type": "float16", "model": "whisper-tiny.en"}}
    chosen = Settings(engine_options=given, stt_compute_type="int8", stt_model="whisper-base")
    options = options_of(FASTER_WHISPER, chosen).model_dump()
    assert (options["device"], options["compute_type"], options["model"]) == ("cuda", "float16", "whisper-tiny.en")
    assert "whisper-tiny.en" in needed_models(chosen)
    assert "whisper-base" not in needed_models(chosen)


@pytest.mark.parametrize("plugin", [SMART_TURN, PIPER])
def test_onnx_engines_have_a_device(plugin: EnginePlugin[EngineOptions]) -> None:
    assert plugin.options.model_fields["device"].annotation == FASTER_WHISPER.options.model_fields["device"].annotation


def test_options_that_do_not_fit_are_named() -> None:
    with pytest.raises(EngineError, match=r"stt engine 'faster-whisper' do not fit: device: .*'cpu' or 'cuda'"):
        options_of(FASTER_WHISPER, Settings(engine_options={"faster-whisper": {"device": "abacus"}}))
    with pytest.raises(EngineError, match="colour: Extra inputs"):
        options_of(FASTER_WHISPER, Settings(engine_options={"faster-whisper": {"colour": "red"}}))


def test_an_engine_that_is_not_installed_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MORGAN_TTS_ENGINE", "gong")
    with pytest.raises(SettingsError, match=r"no tts engine 'gong'; there are local, csm, kokoro, piper, openai"):
        load_settings()


def test_secrets_among_the_options_are_not_shown() -> None:
    options = {"openai": {"api_key": "very-secret", "model": "small"}}
    chosen = Settings(engine_options=options, llm_engine="openai")
    assert chosen.shown()["engine_options"] == {"openai": {"api_key": "**********", "model": "small"}}
    assert options_of(OPENAI_CHAT, chosen).model_dump()["api_key"].get_secret_value() == "very-secret"


def test_whisper_on_a_device_that_is_not_there_says_so(models_dir: Path) -> None:
    import ctranslate2

    if ctranslate2.get_cuda_device_count():
        pytest.skip("There is a GPU.")
    chosen = Settings(models_dir=models_dir, engine_options={"faster-whisper": {"device": "cuda"}})
    with pytest.raises(EngineError, match=r"cannot be loaded on cuda .*CUDA"):
        build_stt(chosen)
