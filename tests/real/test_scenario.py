"""The same small scenario on both local engines, with real weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.real

ENGINES = {"transformers": {}, "vllm": {"kv_cache_gib": 1, "max_model_len": 2048}}


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_a_run_with_real_weights(
    engine: str, small_config: Callable[..., Path], run_to_end: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    config, out = small_config(engine, **ENGINES[engine]), tmp_path / "run"
    summary = run_to_end(config, out)
    assert summary["candidates"] == 12
    assert summary["candidates"] == summary["survivors"] + sum(summary["rejected"].values())
    assert summary["tokens"]["evolver"]["completion"] > 100
    assert summary["requests"]["sent"] > 12
    rows = [json.loads(line) for line in (out / "dataset" / "train.jsonl").read_text().splitlines()]
    assert len(rows) == summary["survivors"] > 0
    for row in rows:
        assert row["instruction"]
        assert row["output"]
        assert row["model"].startswith("smollm2-135m-instruct@gguf:")
        assert row["model"].endswith(engine)
        scores = row["scores"]
        assert 0 < scores["ifd"] < 5
        assert scores["ic_ifd"] == pytest.approx(scores["ifd"] / scores["instruction_loss"], rel=1e-6)
    again = run_to_end(config, out)
    assert again["requests"]["sent"] == 0, "the second run is answered from the log, and loads no model"
    assert again["survivors"] == summary["survivors"]
