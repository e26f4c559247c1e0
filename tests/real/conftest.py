"""Runs with real weights, as a user starts them: through the command line, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def small_config(tmp_path: Path) -> Callable[..., Path]:
    """Writes a small real scenario: six shipped seeds, one round, all six operators."""

    def write(engine: str, **options: Any) -> Path:
        role = {
            "engine": engine,
            "model": "smollm2-135m-instruct",
            "sampling": {"temperature": 0.7, "top_p": 0.95, "max_tokens": 48},
            "options": options,
        }
        values = {
            "name": "small",
            "seeds": {"path": str(Path(__file__).parents[2] / "configs/seeds/quickstart.jsonl"), "limit": 6},
            "models": {
                "evolver": role,
                "responder": {"use": "evolver", "sampling": {"temperature": 0, "max_tokens": 32}},
                "embedder": {"engine": "sentence-transformers", "model": "all-minilm-l6-v2"},
            },
            "evolver": {
                "operators": [
                    *("constraints", "deepening", "concretising", "reasoning", "complicate-input", "breadth"),
                ],
                "samples": 2,
            },
            "critic": {"scorers": ["ifd", "ic_ifd", "instruction_loss", "length", "embedding_diversity"]},
            "eliminator": {
                "rules": [
                    *("extracted", "truncated", "unchanged", "length_ratio", "template_leak"),
                    *("not_an_instruction", "near_duplicate"),
                ]
            },
            "stop": {"rounds": 1},
            "output": {"dir": str(tmp_path / "runs")},
        }
        path = tmp_path / f"{engine}.yaml"
        path.write_text(yaml.safe_dump(values, sort_keys=False))
        return path

    return write


@pytest.fixture
def start() -> Start:
    """Starts `evoagent run`."""

    def begin(config: Path, out: Path, *more: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "evoagent", "run", str(config), "--out", str(out), "--json", *more]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return begin


@pytest.fixture
def run_to_end(start: Start) -> Callable[..., dict[str, Any]]:
    """Runs `evoagent run` and returns its summary."""

    def run(config: Path, out: Path, *more: str) -> dict[str, Any]:
        process = start(config, out, *more)
        stdout, stderr = process.communicate(timeout=560)
        assert process.returncode == 0, stderr
        summary: dict[str, Any] = json.loads(stdout)
        return summary

    return run
