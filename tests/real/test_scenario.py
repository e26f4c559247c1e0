"""The same small scenario on both local engines, with real weights."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
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


PAGE = (Path(__file__).parents[2] / "docs" / "scenario.md").read_text()


def test_the_two_stages_of_the_page(run_to_end: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    """Documents, a corpus, several evolutions of a call, three responses each, a second model that chooses."""
    for name in ("texts.jsonl", "asked.jsonl", "cookbook.py", "cookbook.yaml"):
        found = re.search(rf"`{re.escape(name)}`\n\n```\w+\n(.*?)```", PAGE, re.DOTALL)
        assert found, name
        (tmp_path / name).write_text(found[1])
    code = (tmp_path / "cookbook.py").read_text()
    assert sum(bool(line.strip()) for line in code.splitlines()) <= 60
    small = ["seeds.limit=3", "stages.1.stop.rounds=1", "models.responder.sampling.max_tokens=32"]
    changes = [part for change in small for part in ("--set", change)]
    out = tmp_path / "run"
    summary = run_to_end(tmp_path / "cookbook.yaml", out, *changes)
    handed_on, rejected = summary["handed_on"], sum(summary["rejected"].values())
    assert summary["candidates"] == summary["survivors"] + handed_on + rejected
    assert [stage["candidates"] for stage in summary["stages"]] == [12, handed_on]
    assert handed_on > 0, "the tiny model has asked something"
    assert summary["tokens"]["second"]["prompt"] > 0
    texts = {json.loads(line)["text"] for line in (tmp_path / "texts.jsonl").read_text().splitlines()}
    rows = [json.loads(line) for line in (out / "dataset" / "train.jsonl").read_text().splitlines()]
    assert len(rows) == summary["survivors"] > 0
    with closing(sqlite3.connect(out / "ledger.db")) as ledger:
        for row in rows:
            assert row["input"] in texts, "the text goes with what was asked of it"
            assert 1 <= row["scores"]["helpful"] <= 5
            query = "select response, scores, kept from responses where candidate_id = ?"
            responses = ledger.execute(query, [row["id"]]).fetchall()
            assert len(responses) == 3
            (kept,) = [response for response, _, kept in responses if kept]
            assert kept == row["output"]
            graded = {response: json.loads(scores)["helpful"] for response, scores, _ in responses}
            assert len(set(graded)) == len(set(graded.values())), "another response has another grade"
    again = run_to_end(tmp_path / "cookbook.yaml", out, *changes)
    assert again["requests"]["sent"] == 0
