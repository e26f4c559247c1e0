"""Rules on an instruction for a document: what compares with a parent's instruction keeps, the rest judges on."""

from __future__ import annotations

import pytest

from evoagent.records import Candidate, Instruction
from evoagent.rules.base import Rule
from evoagent.rules.language import Language
from evoagent.rules.relevance import Relevance
from evoagent.rules.semantic import Drift, NoInformationGain
from evoagent.rules.surface import LengthRatio, MissingInput, Repetition, Unchanged
from evoagent.rules.template_leak import TemplateLeak
from evoagent.testing import SEEDS, scripted_models

TEXT = "The lighthouse at the end of the pier was built in 1871. Its lamp is lit from dusk to dawn by two keepers."
DOCUMENT = Instruction("d", "", TEXT)
LONG = """Read the text twice. First name everybody who works in it, with the hours that each of them has to be
awake, and say how you know. Then draw a time line from the year of its building to today, put three events on it that
the text mentions or that follow from what it says, and mark with a star those of which you cannot be sure. At last,
write a letter in which somebody from a village nearby asks for a visit by night, and a short, polite answer to it."""


def asked(text: str, input: str = TEXT, parents: tuple[Instruction, ...] = (DOCUMENT,)) -> Candidate:
    return Candidate("c", text, parents[0], "asks", 1, input=input, parents=parents)


@pytest.mark.parametrize(
    "candidate",
    [
        asked("Sum up the text below in one sentence."),
        asked("Résumez le texte qui suit en une phrase, et dites pourquoi la lampe est allumée par les gardiens."),
        asked("用一句话总结这段文字"),
        asked(LONG),
        asked("When was the lighthouse at the end of the pier built?", input=""),
        asked(f"Translate into French: {TEXT}", input=""),
        asked(TEXT, input=""),
    ],
    ids=["short", "another language", "another script", "long", "the text is the answer", "text inside", "text alone"],
)
@pytest.mark.parametrize(
    "rule",
    [
        Unchanged(),
        LengthRatio(),
        Repetition(),
        Language(),
        MissingInput(),
        TemplateLeak(),
        Drift(),
        NoInformationGain(),
        Relevance(),
    ],
    ids=lambda rule: type(rule).__name__,
)
async def test_a_comparison_with_a_document_does_not_apply(rule: Rule, candidate: Candidate) -> None:
    models = scripted_models()
    await rule.prepare([DOCUMENT], models)
    found = await rule.judge(candidate, models)
    assert found.kept, found
    assert not models.requests
    models.close()


@pytest.mark.parametrize(
    ("rule", "candidate", "detail"),
    [
        (LengthRatio(), asked("Sum up."), "too few words"),
        (LengthRatio(), asked("say " * 401), "too many words"),
        (Repetition(), asked("Say it twice and again. " * 6), "repeats itself"),
        (MissingInput(), asked("Sum up the following text.", input=""), "speaks of an input that is not there"),
        (TemplateLeak(), asked("Sum up the text of the given prompt."), "says given prompt"),
    ],
)
async def test_what_an_instruction_must_be_by_itself(rule: Rule, candidate: Candidate, detail: str) -> None:
    found = await rule.judge(candidate, scripted_models())
    assert (found.kept, found.detail) == (False, detail)


async def test_a_crossover_is_compared_with_those_of_its_parents_that_ask() -> None:
    seed = SEEDS[0]
    copy = asked(seed.instruction, input="", parents=(DOCUMENT, seed))
    assert not (await Unchanged().judge(copy, scripted_models())).kept
    other = asked("Count the lamps.", input="", parents=(seed, DOCUMENT))
    assert (await Unchanged().judge(other, scripted_models())).kept
