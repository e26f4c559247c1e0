"""What a configuration may say under the names of the selectors."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class GridConfig(BaseModel):
    """Parameters of both selectors: the difficulty axis of the grid, and what makes an elite."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    objective: Text = Field(
        "ic_ifd",
        description="The score by which a candidate beats the elite of its cell.",
        json_schema_extra={"score": True},
    )
    direction: Literal["descending", "ascending"] = Field(
        "descending",
        description="descending: a high objective is better. Left out, it is as the scorer has it.",
        json_schema_extra={"direction_of": "objective"},
    )
    difficulty: Text = Field(
        "ifd", description="The score that is the grid's difficulty axis.", json_schema_extra={"score": True}
    )
    low: float = Field(
        0.0, allow_inf_nan=False, description="Where the axis begins; what lies below is in the first bin."
    )
    high: float = Field(
        1.0, allow_inf_nan=False, description="Where the axis ends; what lies above is in the last bin."
    )
    bins: int = Field(5, ge=1, le=1000, description="Equal parts of the axis.")
    per_cell: int = Field(1, ge=1, le=1000, description="How many elites a cell holds.")
    missing: Literal["reject", "keep"] = Field(
        "reject",
        description="What becomes of a candidate that has no cell, for lack of a score, a category or a vector.",
    )
    offset: float = Field(
        0.0,
        allow_inf_nan=False,
        description="Subtracted from each elite's objective in the QD score: the lowest that occurs, if negative.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> GridConfig:
        if self.low >= self.high:
            raise ValueError(f"expected low < high, found {self.low:g} and {self.high:g}")
        return self


class MapElitesConfig(GridConfig):
    """Parameters of `map-elites`."""

    rows: Literal["operator", "family"] = Field("operator", description="The other axis: operators, or their families.")
    categories: list[Text] | None = Field(
        None,
        min_length=1,
        description="The rows of the grid, so that coverage is of the same cells in all rounds; null: those seen.",
    )

    @model_validator(mode="after")
    def _different(self) -> MapElitesConfig:
        if self.categories and len(set(self.categories)) < len(self.categories):
            raise ValueError("expected different `categories`, found one of them twice")
        return self


class MapElitesTopicsConfig(GridConfig):
    """Parameters of `map-elites-topics`."""

    topics: int = Field(8, ge=1, le=1000, description="How many topics there are at most.")
    similarity: float = Field(
        0.4,
        gt=-1,
        le=1,
        description="While there are fewer, an instruction founds a topic if its cosine to all founders is below this.",
    )
    centroids: list[Text] | None = Field(
        None,
        min_length=1,
        max_length=1000,
        description="A text for each topic, such as `cooking and recipes`; they replace `topics` and `similarity`.",
    )

    @model_validator(mode="after")
    def _different(self) -> MapElitesTopicsConfig:
        if self.centroids and len(set(self.centroids)) < len(self.centroids):
            raise ValueError("expected different `centroids`, found one of them twice")
        return self
