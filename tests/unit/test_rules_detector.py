"""`not_an_instruction`: what it is trained on, and which part of a candidate it judges."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from evoagent.errors import ConfigError
from evoagent.records import Candidate, Instruction
from evoagent.rules import detector
from evoagent.rules.detector import NotAnInstruction, NotAnInstructionConfig, added_sentences, reference_pairs
from evoagent.rules.template_leak import WorkedText


class Models:
    """An embedder of hashed words that remembers what it was asked."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.embedder = SimpleNamespace(embed=self._embed)

    async def _embed(self, text: str) -> NDArray[np.float32]:
        self.seen.append(text)
        vector = np.zeros(64, dtype=np.float32)
        for word in text.lower().split():
            vector[zlib.crc32(word.encode()) % 64] += 1
        return vector / (np.linalg.norm(vector) or 1)


def candidate(text: str, parent: str = "Name a tree.") -> Candidate:
    return Candidate("c", text, Instruction("p", parent), "constraints", 1)


def seeds(count: int) -> list[Instruction]:
    return [Instruction(f"s{n}", f"Name {n} trees.", output=f"\n\nOaks and {n} more.\nAnd elms.") for n in range(count)]


async def trained(models: Models, run: list[Instruction], **config: int) -> NotAnInstruction:
    rule = NotAnInstruction(NotAnInstructionConfig(**config))  # type: ignore[arg-type]
    await rule.prepare(run, models)  # type: ignore[arg-type]
    return rule


async def test_it_learns_from_instructions_and_first_lines_of_outputs() -> None:
    models = Models()
    rule = await trained(models, seeds(70))
    assert {"Name 3 trees.", "Oaks and 3 more."} <= set(models.seen)
    assert "And elms." not in " ".join(models.seen)
    kept = await rule.judge(candidate("Name 99 trees."), models)  # type: ignore[arg-type]
    caught = await rule.judge(candidate("Oaks and 99 more."), models)  # type: ignore[arg-type]
    assert kept.kept
    assert (caught.kept, caught.rule, caught.threshold) == (False, "not_an_instruction", 0.5)
    assert 0 <= (caught.figure or 0) < 0.5


async def test_the_shipped_seeds_help_only_where_the_runs_are_few() -> None:
    reference = reference_pairs()[0][0]
    for count, helped in ((0, True), (63, True), (64, False)):
        models = Models()
        await trained(models, seeds(count))
        assert (reference in models.seen) is helped


async def test_seeds_without_an_output_do_not_count() -> None:
    models = Models()
    await trained(models, [Instruction("s", "Name a shrub.")] * 100)
    assert "Name a shrub." not in models.seen
    assert reference_pairs()[0][0] in models.seen


async def test_training_is_bounded_and_repeatable() -> None:
    models = Models()
    first = await trained(models, seeds(900), max_pairs=100)
    assert len([text for text in models.seen if text.startswith("Name ")]) <= 110
    again = await trained(models, seeds(900), max_pairs=100)
    text = "Which tree is it?"
    assert await first.probability(text, models) == await again.probability(text, models)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "added"),
    [
        ("Name a tree. It must be rare.", "It must be rare."),
        ("Name a tree.\nOaks are trees.", "Oaks are trees."),
        ("Name a tree. and a shrub", ""),
        ("Name a tree.", ""),
        ("Name a tree that is rare.", ""),
        ("Describe a tree. It must be rare.", ""),
    ],
)
def test_what_was_added(text: str, added: str) -> None:
    assert added_sentences(candidate(text)) == added


def test_what_was_added_to_a_parent_without_a_full_stop() -> None:
    assert added_sentences(candidate("Name a tree. It must be rare.", "Name a tree")) == "It must be rare."
    assert added_sentences(candidate("Name a tree that is rare.", "Name a tree")) == ""


async def test_only_what_was_added_is_judged() -> None:
    models = Models()
    rule = await trained(models, seeds(70))
    assert not (await rule.judge(candidate("Name 7 trees. Oaks and 99 more.", "Name 7 trees."), models)).kept  # type: ignore[arg-type]
    assert (await rule.judge(candidate("Name 7 trees. Name 8 trees.", "Name 7 trees."), models)).kept  # type: ignore[arg-type]


async def test_an_addition_in_the_words_that_were_asked_for_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    example = WorkedText("Oaks matter because they are old.", "evolved", "Oaks matter because")
    monkeypatch.setattr(detector, "worked_examples", lambda folder: [example])
    models = Models()
    rule = await trained(models, seeds(70))
    text = "Name 7 trees. Oaks matter because of 9 more."
    assert (await rule.judge(candidate(text, "Name 7 trees."), models)).kept  # type: ignore[arg-type]


def test_broken_shipped_seeds_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "seeds").mkdir()
    file = tmp_path / "seeds" / "quickstart.jsonl"
    file.write_text(json.dumps({"instruction": "Name a tree."}), encoding="utf-8")
    monkeypatch.setattr(detector, "configs_dir", lambda: tmp_path)
    with pytest.raises(ConfigError, match=r"quickstart\.jsonl"):
        reference_pairs()
