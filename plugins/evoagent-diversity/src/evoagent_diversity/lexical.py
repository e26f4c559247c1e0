"""Lexical diversity: MTLD of a text; HD-D and distinct-n of a dataset."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from itertools import pairwise

from pydantic import BaseModel, ConfigDict, Field

from evoagent import Candidate, Models, Population, PopulationScorer, Score
from evoagent_diversity.population import TextOf, sample, text_of

CHARACTERS = 20_000
"""Of each text; what comes after does not count."""

DRAWS = 42
"""Words that HD-D draws, as McCarthy and Jarvis (2007) do."""

_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """Runs of letters, digits and underscores, in lower case."""
    return _WORD.findall(text[:CHARACTERS].lower())


def mtld(tokens: Sequence[str], threshold: float = 0.72) -> float | None:
    """Measure of textual lexical diversity, in words; None where no word comes twice, which leaves it undefined.

    The text is cut, from its start, wherever the type-token ratio falls to `threshold`; MTLD is the number of words
    over the number of segments (the last one counts for its part (1 - TTR) / (1 - threshold)), and the mean of reading
    forwards and backwards. McCarthy and Jarvis, "MTLD, vocd-D, and HD-D", Behavior Research Methods 42, 2010. Stable
    from about 50 words: Zenker and Kyle, "Investigating minimum text lengths for lexical diversity indices", Assessing
    Writing 47, 2021.
    """
    from lexicalrichness import LexicalRichness  # type: ignore[import-untyped]

    if len(set(tokens)) == len(tokens):
        return None
    return float(LexicalRichness(list(tokens), preprocessor=None, tokenizer=None).mtld(threshold=threshold))


def hdd(tokens: Sequence[str]) -> float | None:
    """HD-D: the expected type-token ratio of 42 words drawn without return, 0 to 1; None for fewer words.

    The sum over types of P(drawn at least once) / 42, by the hypergeometric distribution; unlike the type-token ratio
    it does not fall with the length of the text. McCarthy and Jarvis, "vocd: a theoretical and empirical evaluation",
    Language Testing 24, 2007.
    """
    from lexicalrichness import LexicalRichness

    if len(tokens) < DRAWS:
        return None
    return float(LexicalRichness(list(tokens), preprocessor=None, tokenizer=None).hdd(draws=DRAWS))


def distinct(texts: Iterable[Sequence[str]]) -> tuple[float | None, float | None]:
    """distinct-1 and distinct-2: different words (pairs of neighbours) over all of them, in all texts together.

    None without any. Both fall as a dataset grows. Li et al., "A Diversity-Promoting Objective Function for Neural
    Conversation Models", NAACL 2016 (arXiv 1510.03055).
    """
    ones: set[str] = set()
    twos: set[tuple[str, str]] = set()
    total_ones = total_twos = 0
    for tokens in texts:
        ones.update(tokens)
        total_ones += len(tokens)
        twos.update(pairwise(tokens))
        total_twos += max(len(tokens) - 1, 0)
    return (len(ones) / total_ones if total_ones else None), (len(twos) / total_twos if total_twos else None)


class Lexical(PopulationScorer):
    """MTLD of each candidate's text; high is diverse. Words are runs of letters: not for scripts without spaces."""

    name = "lexical"
    summary = "MTLD: how many words run on before they repeat; HD-D and distinct-n of the dataset"

    class Config(BaseModel):
        """Parameters of `lexical`."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        text: TextOf = Field(
            "instruction", description="What is measured: instructions with their inputs, or responses."
        )
        min_words: int = Field(50, ge=2, description="A shorter text has no MTLD; below 50 words it is not stable.")
        threshold: float = Field(
            0.72,
            gt=0,
            lt=1,
            description="Type-token ratio at which a segment of MTLD ends; 0.72 by McCarthy and Jarvis.",
        )
        sample: int = Field(
            5000, ge=1, description="The figures are of all survivors up to so many, of a fixed sample of them beyond."
        )

    config: Config

    async def score_all(self, candidates: Population, survivors: Population, models: Models) -> AsyncIterator[Score]:
        """`details` give the number of words."""
        async for page in candidates.pages():
            for score in await asyncio.to_thread(lambda page=page: [self._score(candidate) for candidate in page]):
                yield score

    def _score(self, candidate: Candidate) -> Score:
        config = self.config
        tokens = words(text_of(candidate, config.text))
        details = {"words": len(tokens)}
        if len(tokens) < config.min_words:
            reason = f"the {config.text} has {len(tokens)} words, MTLD wants {config.min_words}"
            return Score(None, reason, details)
        value = mtld(tokens, config.threshold)
        return Score(value, None if value is not None else "no word comes twice, so MTLD is not defined", details)

    async def measure(self, survivors: Population, models: Models) -> Mapping[str, float]:
        """Of all survivors, or of a fixed sample of `sample` of them where there are more.

        `mtld`: mean over the `mtld_rows` texts that have one; `hdd`: of all words together; `distinct_1`,
        `distinct_2`. A figure that does not exist is left out.
        """
        return await asyncio.to_thread(self._measure, await sample(survivors, self.config.sample))

    def _measure(self, members: Sequence[Candidate]) -> dict[str, float]:
        texts = [words(text_of(member, self.config.text)) for member in members]
        long = [tokens for tokens in texts if len(tokens) >= self.config.min_words]
        values = [value for tokens in long if (value := mtld(tokens, self.config.threshold)) is not None]
        distinct_1, distinct_2 = distinct(texts)
        figures = {
            "mtld": sum(values) / len(values) if values else None,
            "mtld_rows": float(len(values)),
            "hdd": hdd([word for tokens in texts for word in tokens]),
            "distinct_1": distinct_1,
            "distinct_2": distinct_2,
        }
        return {name: value for name, value in figures.items() if value is not None}
