"""Selectors: which of the candidates that no rule has rejected survive."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import ConfigDict, Field, model_validator

from evoagent.config import Strict
from evoagent.models.roles import Models
from evoagent.ranking import ranked, value_of
from evoagent.records import KEEP, Candidate, Verdict
from evoagent.selectors.base import Selector


class All(Selector):
    """Everything survives."""

    keeps_all = True

    async def select(
        self, candidates: Sequence[Candidate], survivors: Sequence[Candidate], models: Models
    ) -> list[Verdict]:
        """Keep all."""
        return [KEEP] * len(candidates)


class ThresholdConfig(Strict):
    """Parameters of `threshold`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"by": "ifd", "min": 0.2}]})

    by: str = Field(min_length=1, description="The score that decides.", json_schema_extra={"score": True})
    min: float | None = Field(None, description="Below this a candidate is rejected.")
    max: float | None = Field(None, description="Above this a candidate is rejected.")
    missing: Literal["keep", "reject"] = Field("reject", description="What becomes of a candidate without the score.")

    @model_validator(mode="after")
    def _bounded(self) -> ThresholdConfig:
        if self.min is None and self.max is None:
            raise ValueError("expected `min` or `max`, or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"expected min <= max, found {self.min} > {self.max}")
        return self


class Threshold(Selector):
    """Keeps candidates whose score lies within bounds, both included."""

    def __init__(self, config: ThresholdConfig) -> None:
        self.config = config

    async def select(
        self, candidates: Sequence[Candidate], survivors: Sequence[Candidate], models: Models
    ) -> list[Verdict]:
        """The figure is the score, the threshold the bound that it was held against."""
        return [self._decide(candidate) for candidate in candidates]

    def _decide(self, candidate: Candidate) -> Verdict:
        config, value = self.config, value_of(candidate, self.config.by)
        if value is None:
            return _missing(candidate, config.by, "threshold", config.missing)
        if config.min is not None and value < config.min:
            return Verdict(False, "threshold", value, config.min, f"{config.by} is too low")
        if config.max is not None and value > config.max:
            return Verdict(False, "threshold", value, config.max, f"{config.by} is too high")
        bound = config.min if config.min is not None else config.max
        return Verdict(True, "threshold", value, bound, config.by)


class TopConfig(Strict):
    """Parameters of `top`: give `share` or `count`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"by": "ic_ifd", "share": 0.9}]})

    by: str = Field(min_length=1, description="The score that decides.", json_schema_extra={"score": True})
    share: float | None = Field(None, gt=0, le=1, description="This share of all candidates survives, rounded up.")
    count: int | None = Field(None, ge=1, description="This many candidates survive.")
    direction: Literal["descending", "ascending"] = Field(
        "descending",
        description="descending: high scores survive. Left out, it is as the scorer has it: ascending for `length`.",
        json_schema_extra={"direction_of": "by"},
    )
    drop_above: float | None = Field(
        None, description="Scores above this never survive: 1.0 for IFD, where the instruction then hinders."
    )
    missing: Literal["keep", "reject"] = Field(
        "reject", description="What becomes of a candidate without the score; one that is kept takes nobody's place."
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> TopConfig:
        if (self.share is None) == (self.count is None):
            raise ValueError("expected one of `share` and `count`")
        return self


class Top(Selector):
    """Keeps the best by a score; equals in the order of their ids, so that the choice is always the same one."""

    def __init__(self, config: TopConfig) -> None:
        self.config = config

    async def select(
        self, candidates: Sequence[Candidate], survivors: Sequence[Candidate], models: Models
    ) -> list[Verdict]:
        """The figure is the score, the threshold the worst score that still survives."""
        config = self.config
        places = config.count if config.count is not None else _share(config.share or 0.0, len(candidates))
        values = [value_of(candidate, config.by) for candidate in candidates]
        eligible = [
            (number, value)
            for number in ranked(candidates, config.by, config.direction)
            if (value := values[number]) is not None and not self._hinders(value)
        ]
        chosen = {number for number, _ in eligible[:places]}
        cut = eligible[:places][-1][1] if chosen else None
        verdicts = []
        for number, (candidate, value) in enumerate(zip(candidates, values, strict=True)):
            if value is None:
                verdicts.append(_missing(candidate, config.by, "top", config.missing))
            elif self._hinders(value):
                verdicts.append(Verdict(False, "top", value, config.drop_above, f"{config.by} is above `drop_above`"))
            elif number in chosen:
                verdicts.append(Verdict(True, "top", value, cut, config.by))
            else:
                verdicts.append(Verdict(False, "top", value, cut, f"not among the best {places} by {config.by}"))
        return verdicts

    def _hinders(self, value: float) -> bool:
        return self.config.drop_above is not None and value > self.config.drop_above


def _share(share: float, total: int) -> int:
    # The small term keeps 0.1 · 30 = 3.0000000000000004 from being rounded up to 4.
    return math.ceil(share * total - 1e-9)


def _missing(candidate: Candidate, by: str, rule: str, decision: Literal["keep", "reject"]) -> Verdict:
    score = candidate.scores.get(by)
    reason = score.reason if score is not None and score.reason else "it was not scored"
    return Verdict(decision == "keep", rule, detail=f"no {by}: {reason}")
