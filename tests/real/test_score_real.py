"""`evoagent score` against the reference's way to compute IFD and IC-IFD, row by row, in float32."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evoagent.models.sources.resolve import resolve

pytestmark = pytest.mark.real

ROWS = Path(__file__).parents[2] / "configs" / "seeds" / "quickstart.jsonl"
TOLERANCE = 1e-3


def reference(rows: list[dict[str, Any]]) -> list[dict[str, float]]:
    """Three forward passes a row, at batch size 1, boundaries by token counts."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = resolve("smollm2-135m-instruct").path
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()

    def loss(text: str, start: int = 0) -> float:
        ids = tokenizer(text, return_tensors="pt").input_ids
        labels = ids.clone()
        labels[0, :start] = -100
        with torch.no_grad():
            return float(model(ids, labels=labels).loss)

    found = []
    for row in rows:
        question = row["instruction"] + (f"\n{row['input']}" if row["input"] else "")
        joint = loss(f"{question}\n{row['output']}", len(tokenizer(question).input_ids))
        instruction, alone = loss(question), loss(row["output"])
        figures = {"ifd": joint / alone, "ic_ifd": joint / (instruction * alone), "instruction_loss": instruction}
        found.append(figures)
    return found


def test_scores_agree_with_the_reference_row_by_row(tmp_path: Path) -> None:
    lines = ROWS.read_text(encoding="utf-8").splitlines()[::3]
    (tmp_path / "data.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "evoagent", "score", str(tmp_path / "data.jsonl"), "--dtype", "float32"]
    for name in ("ifd", "ic_ifd", "instruction_loss"):
        command += ["--scorer", name]
    command += ["--out", str(tmp_path / "scored.jsonl"), "--json"]
    process = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)
    assert process.returncode == 0, process.stderr
    rows = [json.loads(line) for line in lines]
    assert json.loads(process.stdout)["requests"]["sent"] == 2 * len(rows), "two passes a row"
    scored = [json.loads(line) for line in (tmp_path / "scored.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["instruction"] for row in scored] == [row["instruction"] for row in rows]
    for row, expected in zip(scored, reference(rows), strict=True):
        for name, value in expected.items():
            assert row["scores"][name] == pytest.approx(value, abs=TOLERANCE), (name, row["instruction"])
