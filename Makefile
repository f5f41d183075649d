# make serve     set up on a fresh machine, fetch the models, serve on http://localhost:8000
# make test      the same set-up, the linters, every test
# make setup     only install, into .venv
# make models    install and fetch the models
# make unit      the tests of one process, with no models, servers, browser or call in real time
# make lint      ruff, mypy and the arrows between the packages: Python alone
# make fuzz      every parser of strangers' bytes, ten minutes each (ARGS='stun --seconds 60'); SECURITY.md
# make fmt       let ruff mend what it can
# make bench     every number that the README claims
# make audit     known weaknesses of what Morgan is tested with, and whether every archive of it has its hashes
# make hashes    write hashes.txt anew, after make constraints
# make constraints  write constraints.txt anew from .venv, after an upgrade
# make clean     remove what was made here; the models under ~/.cache/morgan stay
#
# make ... PYTHON=/path/to/python3.12          makes .venv with this one
# make ... EXTRAS=piper,transformers           installs these optional parts in place of those chosen by themselves
# make serve ARGS='--port 9000'                hands on arguments (also of test, bench)

.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?=
EXTRAS ?=
ARGS ?=
export PYTHON

# Whisper's int8 products as on a processor that has AVX2 alone, where they are slower and round otherwise.
PLAIN_INT8 := CT2_FORCE_CPU_ISA=AVX2 CT2_USE_MKL=0
HEARING_TESTS := tests/pipeline/engines/stt/test_faster_whisper.py tests/pipeline/engines/stt/test_hearing_again.py \
	tests/pipeline/engines/stt/test_other_languages.py tests/pipeline/call/test_one_word_turns.py \
	tests/pipeline/call/test_real_speech.py tests/pipeline/transcription tests/server/calibration tests/e2e/test_real_turns.py

# What tests use besides the default models.
TEST_MODELS := whisper-tiny.en kokoro-82m calibration-speech

# Tested where it can be had; it is never needed.
TEST_LIBRARY := llama-cpp-x86-64

# The stamps let a second run start at once: they hold what was installed and are newer than what decides it.
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev
INSTALLED_TORCH := $(VENV)/.installed-torch
INSTALLED_AUDIT := $(VENV)/.installed-audit
MODELS := $(VENV)/.models
INPUTS := pyproject.toml constraints.txt hashes.txt

ifneq ($(EXTRAS),)
ifneq ($(EXTRAS),$(shell cat $(INSTALLED) 2>/dev/null))
$(INSTALLED): other-extras
endif
endif

.PHONY: help setup dev models serve unit test lint fuzz fmt bench audit hashes constraints clean other-extras

# Two of pip at once in one environment break it.
.NOTPARALLEL:

help:
	@sed -n -e 's/^# \(make .*\)/\1/p' Makefile

setup: $(INSTALLED)

dev: $(INSTALLED_DEV)

models: setup
	@$(BIN)/morgan models pull
	@touch $(MODELS)

serve: $(MODELS)
	@exec $(BIN)/morgan serve $(ARGS)

# CI=true: a test that lacks something here carries too few markers (tests/needs.py), so it fails in place of skipping.
# A tenth of what is left to chance (tests/thorough.py); `make test` tries all of it.
unit: dev
	CI=true RANDOM_SEQUENCES=30 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 -m unit $(ARGS)

test: setup dev $(if $(filter true,$(CI)),$(INSTALLED_TORCH))
	@.ci/test-tools $(BIN)/python
	$(BIN)/morgan models pull
	$(BIN)/morgan models pull $(TEST_MODELS)
	-$(BIN)/morgan models pull $(TEST_LIBRARY)
	$(MAKE) --no-print-directory lint
	.ci/pytest $(BIN)/python $(ARGS)
	$(if $(ARGS),,$(PLAIN_INT8) .ci/pytest $(BIN)/python $(HEARING_TESTS))

lint: dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

fuzz: dev
	$(BIN)/python -m tests.fuzz $(ARGS)

fmt: dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(MODELS)
	@$(BIN)/morgan bench $(ARGS)

audit: $(INSTALLED_AUDIT)
	$(BIN)/pip-audit --requirement hashes.txt --require-hashes --disable-pip --progress-spinner off $(ARGS)

hashes: $(INSTALLED_AUDIT)
	@.ci/hashes $(VENV)
	@touch $(INSTALLED) $(wildcard $(INSTALLED_DEV) $(INSTALLED_TORCH)) $(INSTALLED_AUDIT)

constraints: setup dev
	@.ci/freeze $(VENV)
	@touch $(INSTALLED) $(INSTALLED_DEV) $(wildcard $(INSTALLED_TORCH))

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@.ci/make-venv $(VENV)

$(INSTALLED): $(INPUTS) | $(BIN)/python
	@.ci/install $(VENV) '$(EXTRAS)'

# Without the engines' extras: linters and unit tests need none of them.
$(INSTALLED_DEV): $(INPUTS) | $(BIN)/python
	@.ci/install $(VENV) dev $@

# CI leaves nothing out: the engine for machines without a wheel of llama.cpp is tested there too.
$(INSTALLED_TORCH): $(INPUTS) | $(BIN)/python
	@.ci/install $(VENV) transformers $@

$(INSTALLED_AUDIT): $(INPUTS) | $(BIN)/python
	@.ci/install $(VENV) audit $@

# Weights that are removed later are fetched by `morgan serve` itself.
$(MODELS): pipeline/models.toml | $(INSTALLED)
	@$(BIN)/morgan models pull
	@touch $@
