"""The rule `relevance`: an addition must be likelier after its parent than after nothing in particular."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evoagent.config.model import PluginUse
from evoagent.errors import ConfigError
from evoagent.models.requests import Loss
from evoagent.plugins.manager import PluginManager
from evoagent.records import Candidate, Instruction
from evoagent.rules.relevance import NEUTRAL, Relevance, RelevanceConfig, added_text
from evoagent.rules.surface import MissingInput


def candidate(instruction: str, parent: str = "Name a bird.", input: str = "", parent_input: str = "") -> Candidate:
    return Candidate("c", instruction, Instruction("p", parent, parent_input), "op", 1, input=input)


class FakeModels:
    """Losses a token by context."""

    def __init__(self, alone: float, known: float, tokens: int = 4) -> None:
        self.alone, self.known, self.tokens = alone, known, tokens
        self.asked: list[tuple[str, str]] = []
        self.scorer = self

    async def loss(self, *, target: str, context: str, joiner: str) -> Loss:
        self.asked.append((context, target))
        nats = self.alone if context == NEUTRAL else self.known
        return Loss(nats * self.tokens, self.tokens)


@pytest.mark.parametrize(("alone", "known", "kept"), [(3.0, 2.5, True), (3.0, 3.0, True), (3.0, 3.5, False)])
async def test_the_figure_is_the_gain_in_nats_a_token(alone: float, known: float, kept: bool) -> None:
    models: Any = FakeModels(alone, known)
    verdict = await Relevance().judge(candidate("Name a bird. Then say why it sings."), models)
    assert verdict.kept is kept
    assert models.asked == [(NEUTRAL, "Then say why it sings."), ("Name a bird.", "Then say why it sings.")]
    if not kept:
        assert (verdict.figure, verdict.threshold) == (-0.5, 0.0)


async def test_the_threshold_is_configured_and_a_text_without_loss_passes() -> None:
    demanding = Relevance(RelevanceConfig(min_gain=1.0))
    models: Any = FakeModels(3.0, 2.5)
    assert not (await demanding.judge(candidate("Name a bird. Now."), models)).kept
    nothing: Any = FakeModels(0.0, 0.0, tokens=0)
    assert (await demanding.judge(candidate("Name a bird. Now."), nothing)).kept


@pytest.mark.parametrize(
    ("given", "added"),
    [
        (candidate("Name a bird. Then a fish."), "Then a fish."),
        (candidate("Name the word. Use it.", "Name the word:"), "Use it."),
        (candidate("Which bird sings at night?"), "Which bird sings at night?"),
        (candidate("Name a bird. Use it.", input="Words: a, b"), "Use it.\nWords: a, b"),
        (candidate("Name a bird.", input="old\n\nnew", parent_input="old"), "new"),
        (candidate("Name a bird."), "Name a bird."),
    ],
)
def test_what_counts_as_added(given: Candidate, added: str) -> None:
    assert added_text(given) == added


@pytest.mark.parametrize(
    ("instruction", "kept"),
    [
        ("Write a subjective title for the following email:", False),
        ("Given a description of the symptoms, name the condition.", False),
        ("Sort the given words by length.", False),
        ("Sort the given words by length: pear, fig.", True),
        ('Explain the following idiom: "black sheep".', True),
        ("Write a title for an email about a party.", True),
    ],
)
async def test_an_instruction_must_not_speak_of_an_input_that_is_not_there(instruction: str, kept: bool) -> None:
    nobody: Any = None
    assert (await MissingInput().judge(candidate(instruction), nobody)).kept is kept
    with_input = candidate(instruction, input="Dear all")
    assert (await MissingInput().judge(with_input, nobody)).kept
    as_before = candidate(instruction, parent=instruction)
    assert (await MissingInput().judge(as_before, nobody)).kept


async def test_an_input_that_was_dropped_or_promised_is_missed() -> None:
    nobody: Any = None
    dropped = candidate("Find a title for the workshop.", parent="Title this email.", parent_input="Join our workshop!")
    assert not (await MissingInput().judge(dropped, nobody)).kept
    rarer = candidate("Find a title for the novel.", parent="Title this email.", parent_input="Join our workshop!")
    assert (await MissingInput().judge(rarer, nobody)).kept
    promised = candidate("Use a word of the list below.", parent="Use this word.", input="sea", parent_input="sea")
    assert not (await MissingInput().judge(promised, nobody)).kept
    delivered = candidate(
        "Use a word of the list below.", parent="Use this word.", input="sea, sky", parent_input="sea"
    )
    assert (await MissingInput().judge(delivered, nobody)).kept


@pytest.mark.parametrize("rule", ["template_leak", "not_an_instruction"])
def test_a_folder_of_prompts_that_is_not_there_is_refused_before_the_run(rule: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="found no folder"):
        PluginManager().load().build("rule", PluginUse(name=rule, params={"prompts": str(tmp_path / "none")}))
