"""Response selectors: which of several responses to an instruction is kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import ConfigDict, Field

from evoagent.config.model import Strict
from evoagent.models.roles import Models
from evoagent.population.ranking import value_of
from evoagent.records import Candidate
from evoagent.selectors.base import ResponseSelector


class First(ResponseSelector):
    """The first one; the others are as good as it, so that they make no preference pairs."""

    async def rank(self, answered: Sequence[Candidate], models: Models) -> Sequence[float | None]:
        """Equal ranks."""
        return [0.0] * len(answered)


class BestConfig(Strict):
    """Parameters of `best`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"by": "ic_ifd"}]})

    by: str = Field(min_length=1, description="The score that decides.", json_schema_extra={"score": True})
    direction: Literal["descending", "ascending"] = Field(
        "descending",
        description="descending: the highest is kept. Left out, it is as the scorer has it: ascending for `length`.",
        json_schema_extra={"direction_of": "by"},
    )


class Best(ResponseSelector):
    """The best by a score; a response that was cut off, is empty or has no score comes after all others."""

    def __init__(self, config: BestConfig) -> None:
        self.config = config

    async def rank(self, answered: Sequence[Candidate], models: Models) -> Sequence[float | None]:
        """The score itself, or its negative where small is good."""
        return [self._rank(candidate) for candidate in answered]

    def _rank(self, candidate: Candidate) -> float | None:
        value = value_of(candidate, self.config.by)
        if value is None or not candidate.response or candidate.response_finish_reason == "length":
            return None
        return value if self.config.direction == "descending" else -value
