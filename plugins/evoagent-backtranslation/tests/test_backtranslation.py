"""The operator and the rule as a user meets them, with the package installed: checked, configured, run."""

from __future__ import annotations

import time
from typing import Any

import evoagent_backtranslation
import pytest
from evoagent_backtranslation.choice import stated
from evoagent_backtranslation.operator import BackTranslation
from evoagent_backtranslation.rule import ConstraintsMet

from evoagent import Candidate, Evolution, Instruction
from evoagent.testing import assert_valid_plugin, run_in_memory, scripted_models

ANSWER = (
    "Rinse the rice until the water runs clear. Bring it to the boil with twice as much water, then let it simmer. "
    "Wait ten minutes before you lift the lid."
)
PARENT = Instruction(id="rice", instruction="How do I cook rice?", output=ANSWER)


async def evolve(parent: Instruction, seed: int = 0, **params: Any) -> Evolution:
    models = scripted_models(seed=seed)
    try:
        return await BackTranslation(BackTranslation.Config(**params)).evolve(parent, models)
    finally:
        models.close()


async def test_adds_constraints_that_hold_and_keeps_the_response() -> None:
    evolution = await evolve(PARENT)
    constraints = stated(evolution.instruction)
    assert evolution.instruction.startswith(PARENT.instruction)
    assert 1 <= len(constraints) <= 3
    assert all(constraint.holds(ANSWER) for constraint in constraints)
    assert evolution.response == ANSWER
    assert evolution.input is None


async def test_the_same_parent_gets_the_same_and_another_id_something_else() -> None:
    assert await evolve(PARENT) == await evolve(PARENT)
    texts = {(await evolve(Instruction(str(n), PARENT.instruction, "", ANSWER))).instruction for n in range(12)}
    assert len(texts) > 6


async def test_another_draw_gives_something_else() -> None:
    texts = [(await evolve(PARENT, seed)).instruction for seed in range(12)]
    assert len(set(texts)) > 6
    assert texts == [(await evolve(PARENT, seed)).instruction for seed in range(12)]


async def test_at_most_as_many_as_configured() -> None:
    for number in range(12):
        evolution = await evolve(Instruction(str(number), PARENT.instruction, "", ANSWER), most=1)
        assert len(stated(evolution.instruction)) == 1


async def test_later_rounds_neither_repeat_nor_contradict_and_come_to_an_end() -> None:
    parent, rounds = PARENT, 0
    while rounds < 10:
        evolution = await evolve(parent, most=1)
        if not evolution.instruction:
            break
        rounds += 1
        constraints = stated(evolution.instruction)
        groups = [constraint.kind.group for constraint in constraints]
        assert len(constraints) == rounds
        assert len(set(groups)) == rounds
        assert all(constraint.holds(ANSWER) for constraint in constraints)
        parent = Instruction(f"{parent.id}.{rounds}", evolution.instruction, "", ANSWER)
    assert 2 <= rounds <= 5
    assert "constraint" in (evolution.reason or "")


@pytest.mark.parametrize(
    ("parent", "reason"),
    [
        (Instruction("1", "Name a fish."), "no response to learn from"),
        (Instruction("1", "Name a fish.", "", " \n…"), "no response to learn from"),
        (Instruction("1", "?!", "", ANSWER), "no words"),
        (Instruction("1", "Name a fish.", "", "a" * 20_000), "characters"),
        (Instruction("1", "Comment est-ce que je peux cuire du riz dans une petite maison ?", "", ANSWER), "English"),
        (Instruction("1", "米饭怎么煮？", "", ANSWER), "English"),
        (Instruction("1", "Cook rice. Use at most five words.", "", ANSWER), "breaks a constraint"),
        (Instruction("1", "Solve it.", "x = 1", "x² = 1"), "no further constraint"),
    ],
)
async def test_says_why_there_is_nothing(parent: Instruction, reason: str) -> None:
    evolution = await evolve(parent)
    assert evolution.instruction == ""
    assert reason in (evolution.reason or "")


HOSTILE = [
    "\x00\x07\x1b[31m red \x00",
    "a" * 11_000,
    "word " * 2_000,
    "-- " * 3_000,
    "|---" * 2_000 + "\n" + "|--x" * 2_000,
    "\n" * 11_000 + "x",
    "{" * 11_000,
    "[" * 5_000 + "1",
    '"' * 5_000,
    "`" * 9_000,
    "." * 9_000 + "!",
    "1. " * 3_000,
    ", ".join("a" for _ in range(3_000)),
    "\u202e\u200b\ufeff right to left é́́́",
    "👩‍👩‍👧 🏳️‍🌈 ok",
    "\ud800 lone surrogate",
    "the quick brown fox " * 400,
    " " * 9_000 + "}" + " " * 1_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
async def test_hostile_text_costs_little_and_is_never_misjudged(text: str) -> None:
    start = time.perf_counter()
    for parent in (
        Instruction("1", "Describe the sea.", "", text),
        Instruction("1", text, "", ANSWER),
        Instruction("1", "Describe the sea.", text, ANSWER),
    ):
        evolution = await evolve(parent)
        if evolution.instruction:
            assert all(constraint.holds(parent.output.strip()) for constraint in stated(evolution.instruction))
        else:
            assert evolution.reason
    assert time.perf_counter() - start < 5


def candidate(response: str, operator: str = "back-translation") -> Candidate:
    text = 'How do I cook rice? Answer in exactly three sentences. Include the word "water".'
    return Candidate("c", text, PARENT, operator, 1, response=response)


async def test_the_rule_keeps_what_meets_its_constraints() -> None:
    assert (await ConstraintsMet().judge(candidate(ANSWER), scripted_models())).kept


async def test_the_rule_rejects_what_breaks_one_and_says_which() -> None:
    verdict = await ConstraintsMet().judge(candidate("Buy rice. Boil it in water."), scripted_models())
    assert not verdict.kept
    assert (verdict.figure, verdict.threshold) == (1, 2)
    assert "Answer in exactly three sentences." in verdict.detail


async def test_the_rule_leaves_others_alone_unless_told_otherwise() -> None:
    other = candidate("Buy it.", operator="deepening")
    assert (await ConstraintsMet().judge(other, scripted_models())).kept
    every = ConstraintsMet(ConstraintsMet.Config(every=True))
    assert not (await every.judge(other, scripted_models())).kept


def test_both_plugins_are_valid() -> None:
    assert_valid_plugin(evoagent_backtranslation)


def test_a_run_asks_no_model_and_keeps_the_responses() -> None:
    seeds = [
        Instruction(f"s{n}", f"How do I cook {food}?", "", ANSWER.replace("rice", food))
        for n, food in enumerate(["rice", "beans", "lentils", "barley"])
    ]
    run = run_in_memory(operators=["back-translation"], rules=["constraints-met"], seeds=seeds, rounds=2)
    assert not run.requests
    assert len(run.survivors) >= 6
    for survivor in run.survivors:
        food = survivor.parent.instruction.split("?")[0].rsplit(" ", 1)[1]
        assert survivor.response == ANSWER.replace("rice", food)
    assert any(survivor.round == 2 for survivor in run.survivors)


def test_the_samples_of_a_round_differ() -> None:
    run = run_in_memory(operators=["back-translation"], seeds=[PARENT], config={"evolver": {"samples": 6}})
    assert len({survivor.instruction for survivor in run.survivors}) > 3


def test_seeds_without_a_response_are_rejected_with_the_reason() -> None:
    run = run_in_memory(operators=["back-translation"], seeds=[Instruction("s", "Name a fish that lives in rivers.")])
    assert run.reasons == {"extracted": ["the parent has no response to learn from"]}
