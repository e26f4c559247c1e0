"""What users may set."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class FusionConfig(BaseModel):
    """Parameters of `fusion`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_share: float = Field(
        0.2,
        ge=0,
        le=1,
        description="`evolver.style: plain` only, in which a model of 1.5 billion parameters hardly ever merges two "
        "tasks; `style: examples` works better. Share of a parent's own words of content that the fused instruction "
        "must still have; with fewer that parent is lost.",
    )
    max_topic_words: int = Field(
        8,
        ge=1,
        description="`evolver.style: examples` only: with more words than this, a topic is no topic but a whole task.",
    )
