"""A large population stays out of the checkpoints, and out of memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evoagent.config.model import RunConfig

POPULATION = 20_000
LARGEST_CHECKPOINT = 64 * 1024  # bytes


async def test_a_checkpoint_stays_small_whatever_the_population(
    toy_config: Callable[..., RunConfig], run_toy: Callable[..., Any], tmp_path: Path
) -> None:
    models = {"evolver": {"engine": "scripted", "model": "toy", "options": {"batch": 512}}}
    config = toy_config(
        seeds=POPULATION, models=models, evolver={"operators": ["ask"]}, critic={"scorers": []}, stop={"rounds": 1}
    )
    summary = await run_toy(config)
    assert summary["candidates"] == POPULATION
    assert summary["candidates"] == summary["survivors"] + sum(summary["rejected"].values())
    connection = sqlite3.connect(tmp_path / "run" / "ledger.db")
    sizes = [
        size
        for table, column in (("checkpoints", "checkpoint"), ("writes", "value"))
        for (size,) in connection.execute(f"select coalesce(max(length({column})), 0) from {table}")
    ]
    count = connection.execute("select count(*) from checkpoints").fetchone()[0]
    connection.close()
    assert count >= 5, "every step is checkpointed"
    assert 0 < max(sizes) < LARGEST_CHECKPOINT
