"""Rule against answers that pose as instructions: the commonest failure of tiny models."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from evoagent.config.model import Strict
from evoagent.config.resources import configs_dir, prompts_dir
from evoagent.errors import ConfigError, RequestError
from evoagent.models.roles import Models
from evoagent.population.embedding import embed_all
from evoagent.records import KEEP, Candidate, Instruction, Verdict
from evoagent.rules.base import Rule
from evoagent.rules.template_leak import prompt_folder, worked_examples
from evoagent.text import starts_as_order, words

REFERENCE = Path("seeds") / "quickstart.jsonl"
_DEMANDS = {"must", "should", "only", "avoid", "exactly", "include", "use", "do", "don't", "also"}

REQUIREMENTS = (
    "It must fit on one page and need no picture.",
    "They must be cheap, and none of them may take longer than an hour.",
    "All of them must be older than fifty years.",
    "Each one must come with a short reason.",
    "Use at most forty words.",
    "Use only words that a child knows.",
    "Do not mention any names.",
    "Avoid the letter z, and end with a question.",
    "Include one example and one exception.",
    "Only name things that can be found in a kitchen.",
    "Also say what would change if there were no time limit.",
    "Explain why the second one matters more than the first.",
)
"""Sentences that add a requirement: declarative ones look like answers to whoever knows whole instructions only."""


class NotAnInstructionConfig(Strict):
    """Parameters of `not_an_instruction`."""

    min_probability: float = Field(
        0.5, gt=0, lt=1, description="Probability of being an instruction below which a candidate is rejected."
    )
    min_pairs: int = Field(
        64,
        ge=1,
        description="With fewer seeds than this that have an output, the seeds that come with evoagent are added.",
    )
    max_pairs: int = Field(500, ge=1, description="Of more seeds than this, as many, evenly spread, are used.")
    prompts: str | None = Field(
        None, description="Folder of the operators' prompt files; null for those that come with evoagent."
    )


class NotAnInstruction(Rule):
    """Rejects texts that look like answers, by a classifier that learns from the run's own seeds.

    A logistic regression over the embedding and four surface features tells instructions (the seeds', the evolved
    texts in the prompts' worked examples, a few requirements) from the first lines of the seeds' outputs. Where the
    candidate is its parent with sentences added to it, those alone are judged: they may be the answer.
    """

    def __init__(self, config: NotAnInstructionConfig | None = None) -> None:
        self.config = config or NotAnInstructionConfig()
        self._coefficients: NDArray[np.float64] | None = None
        self._folder = prompt_folder(self.config.prompts)
        self._openings: tuple[str, ...] = ()

    async def prepare(self, seeds: Sequence[Instruction], models: Models) -> None:
        """Train the classifier; the same seeds and embedder give the same one.

        Raises:
            ConfigError: the shipped seeds are needed and cannot be read.
            RequestError: the embedder answers nothing to learn from.
        """
        pairs = [(seed.instruction, seed.output) for seed in seeds if words(seed.instruction) and words(seed.output)]
        if len(pairs) > self.config.max_pairs:
            places = np.linspace(0, len(pairs) - 1, self.config.max_pairs).round().astype(int)
            pairs = [pairs[place] for place in places]
        if len(pairs) < self.config.min_pairs:
            pairs += await asyncio.to_thread(reference_pairs)
        worked = await asyncio.to_thread(lambda: list(worked_examples(self._folder or prompts_dir())))
        examples = [found for found in worked if found.key == "evolved"]
        evolved = sorted({*REQUIREMENTS, *(found.text for found in examples)})
        self._openings = tuple(sorted({found.opening for found in examples if found.opening}))
        orders = [order for order, _ in pairs] + evolved
        answers = [_first_line(answer) for _, answer in pairs]
        texts = orders + answers
        vectors = await embed_all(texts, models)
        kept = [number for number in range(len(texts)) if number not in vectors.failed]
        labels = np.array([number < len(orders) for number in kept])
        if labels.all() or not labels.any():
            raise RequestError(
                f"not_an_instruction: the embedder answered {len(kept)} of {len(texts)} texts to learn from"
            )
        rows = np.stack([_features(texts[number], vectors.matrix[number]) for number in kept])
        # Together the examples weigh half as much as the seeds, however many those are.
        example = max(1.0, len(pairs) / (2 * len(evolved)))
        weights = np.array([example if len(pairs) <= number < len(orders) else 1.0 for number in kept])
        self._coefficients = await asyncio.to_thread(_fit, rows, labels, weights)

    async def judge(self, candidate: Candidate, models: Models) -> Verdict:
        """The figure is the probability of being an instruction."""
        limit, added = self.config.min_probability, added_sentences(candidate)
        if self._openings and added.startswith(self._openings):
            # The evolver said it in the words that the worked examples ask for, so it did not just answer.
            return KEEP
        figure = await self.probability(added or candidate.instruction, models)
        if figure >= limit:
            return KEEP
        detail = "what was added reads like an answer" if added else "reads like an answer"
        return Verdict(False, "not_an_instruction", figure, limit, detail)

    async def probability(self, text: str, models: Models) -> float:
        """The probability, 0 to 1, that `text` is an instruction."""
        if self._coefficients is None:
            raise RuntimeError("not_an_instruction judges before prepare() has trained it")
        row = _features(text, await models.embedder.embed(text))
        return float(1 / (1 + np.exp(-(row @ self._coefficients[:-1] + self._coefficients[-1]))))


def added_sentences(candidate: Candidate) -> str:
    """What `candidate` adds to its parent's unchanged text, where that begins a sentence of its own; else ""."""
    base = candidate.parent.instruction.strip()
    if not base or not candidate.instruction.strip().startswith(base):
        return ""
    added = candidate.instruction.strip()[len(base) :].lstrip(".:;")
    text = added.strip()
    return text if words(text) and added[0].isspace() and not text[0].islower() else ""


def reference_pairs() -> list[tuple[str, str]]:
    """Instructions and outputs of the shipped seeds.

    Raises:
        ConfigError: they cannot be read.
    """
    path = configs_dir() / REFERENCE
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return [(row["instruction"], row["output"]) for row in rows if row["output"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: cannot be read as seeds with `instruction` and `output`: {error!r}") from error


def _first_line(answer: str) -> str:
    # A candidate is a sentence or two; whole answers would be told apart by their length alone.
    return next(line for line in answer.splitlines() if words(line))


def _features(text: str, vector: NDArray[np.float32]) -> NDArray[np.float64]:
    found = words(text)
    surface = (
        text.rstrip().endswith("?"),
        starts_as_order(text),
        len(found) < 3,
        any(word in _DEMANDS for word in found[:6]),
    )
    return np.concatenate([vector.astype(np.float64), np.array(surface, dtype=np.float64)])


def _fit(rows: NDArray[np.float64], labels: NDArray[np.bool_], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coefficients of the features, the intercept last; both classes count alike."""
    from sklearn.linear_model import LogisticRegression

    share = np.where(labels, weights[labels].sum(), weights[~labels].sum())
    model = LogisticRegression(C=10.0, max_iter=2000).fit(rows, labels, weights * len(labels) / (2 * share))
    return np.append(model.coef_[0], model.intercept_)
