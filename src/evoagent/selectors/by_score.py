"""Selectors: which of the candidates that no rule has rejected survive."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, model_validator

from evoagent.config.model import Strict
from evoagent.models.roles import Models
from evoagent.population.base import PAGE, Population
from evoagent.population.ranking import ranked, why_missing
from evoagent.records import KEEP, Verdict
from evoagent.selectors.base import Selector


class All(Selector):
    """Everything survives."""

    keeps_all = True

    async def select(self, candidates: Population, survivors: Population, models: Models) -> AsyncIterator[Verdict]:
        """Keep all."""
        for _ in range(len(candidates)):
            yield KEEP


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

    async def select(self, candidates: Population, survivors: Population, models: Models) -> AsyncIterator[Verdict]:
        """The figure is the score, the threshold the bound that it was held against."""
        async for _, value, why in _valued(candidates, await candidates.scores(self.config.by), self.config.by):
            yield self._decide(value, why)

    def _decide(self, value: float, why: str | None) -> Verdict:
        config = self.config
        if why is not None:
            return Verdict(config.missing == "keep", "threshold", detail=f"no {config.by}: {why}")
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

    async def select(self, candidates: Population, survivors: Population, models: Models) -> AsyncIterator[Verdict]:
        """The figure is the score, the threshold the worst score that still survives."""
        config = self.config
        places = config.count if config.count is not None else _share(config.share or 0.0, len(candidates))
        values = await candidates.scores(config.by)
        eligible = ~np.isnan(values)
        if config.drop_above is not None:
            eligible &= values <= config.drop_above
        order = await asyncio.to_thread(ranked, candidates.ids, values, config.direction)
        best = order[eligible[order]][:places]
        chosen = np.zeros(len(values), dtype=np.bool_)
        chosen[best] = True
        cut = float(values[best[-1]]) if len(best) else None
        async for number, value, why in _valued(candidates, values, config.by):
            if why is not None:
                yield Verdict(config.missing == "keep", "top", detail=f"no {config.by}: {why}")
            elif not eligible[number]:
                yield Verdict(False, "top", value, config.drop_above, f"{config.by} is above `drop_above`")
            elif chosen[number]:
                yield Verdict(True, "top", value, cut, config.by)
            else:
                yield Verdict(False, "top", value, cut, f"not among the best {places} by {config.by}")


def _share(share: float, total: int) -> int:
    # The small term keeps 0.1 · 30 = 3.0000000000000004 from being rounded up to 4.
    return math.ceil(share * total - 1e-9)


async def _valued(
    candidates: Population, values: NDArray[np.float64], by: str
) -> AsyncIterator[tuple[int, float, str | None]]:
    """Number and score of each candidate; where it is missing, NaN and why."""
    for start in range(0, len(values), PAGE):
        page = values[start : start + PAGE]
        why = await why_missing(candidates, by, start + np.flatnonzero(np.isnan(page)))
        for number, value in enumerate(page.tolist(), start):
            yield number, value, why.get(number)
