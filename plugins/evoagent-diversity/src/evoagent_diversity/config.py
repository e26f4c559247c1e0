"""What a configuration may say under the names of the scorers."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

TextOf = Literal["instruction", "response"]


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LexicalConfig(_Config):
    """Parameters of `lexical`."""

    text: TextOf = Field("instruction", description="What is measured: instructions with their inputs, or responses.")
    min_words: int = Field(50, ge=2, description="A shorter text has no MTLD; below 50 words it is not stable.")
    threshold: float = Field(
        0.72, gt=0, lt=1, description="Type-token ratio at which a segment of MTLD ends; 0.72 by McCarthy and Jarvis."
    )
    sample: int = Field(
        5000, ge=1, description="The figures are of all survivors up to so many, of a fixed sample of them beyond."
    )


class SelfBleuConfig(_Config):
    """Parameters of `self_bleu`."""

    text: TextOf = Field("instruction", description="What is compared: instructions with their inputs, or responses.")
    sample: int = Field(
        100, ge=2, le=2000, description="So many other texts are the references; more references give a higher BLEU."
    )
    max_order: int = Field(4, ge=1, le=9, description="Longest n-gram that counts.")
    tokenize: Literal["13a", "char"] = Field(
        "13a", description="13a: words, as BLEU is usually reported; char: for scripts without spaces."
    )
