"""Counts over the rows of a dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Tally:
    """Counts over the rows of a dataset, taken while they are written."""

    rows: int = 0
    by_operator: Counter[str] = field(default_factory=Counter)
    by_round: Counter[int] = field(default_factory=Counter)
    scores: dict[str, ScoreTally] = field(default_factory=dict)

    def add(self, row: Mapping[str, Any]) -> None:
        """Counts one row, whose missing scores are None."""
        self.rows += 1
        self.by_operator[row["operator"] or "(seed)"] += 1
        self.by_round[row["round"]] += 1
        for name, value in (row["scores"] or {}).items():
            tally = self.scores.setdefault(name, ScoreTally())
            if value is not None:
                tally.add(value)


@dataclass(slots=True)
class ScoreTally:
    """Count, sum and bounds of the figures of one scorer."""

    count: int = 0
    total: float = 0.0
    low: float = float("inf")
    high: float = float("-inf")

    def add(self, value: float) -> None:
        """Takes in one figure."""
        self.count += 1
        self.total += value
        self.low, self.high = min(self.low, value), max(self.high, value)
