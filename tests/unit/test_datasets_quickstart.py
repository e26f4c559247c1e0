"""The shipped seeds are whole."""

from __future__ import annotations

from pathlib import Path

from evoagent.config.model import SeedsConfig
from evoagent.datasets.seeds import read_seeds

SEEDS = Path(__file__).parents[2] / "configs" / "seeds"


def test_shipped_seeds() -> None:
    batch = read_seeds(SeedsConfig(path="quickstart.jsonl", max_bad=0), SEEDS)
    seeds = batch.instructions
    assert batch.format == "alpaca"
    assert len(seeds) == 48
    assert len({seed.instruction for seed in seeds}) == 48
    assert all(seed.output.strip() == seed.output != "" for seed in seeds)
    assert sum(1 for seed in seeds if seed.input) >= 12
    assert max(len(seed.prompt_text) for seed in seeds) < 400
