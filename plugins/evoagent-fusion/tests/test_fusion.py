"""The operator as a user meets it, with the package installed: checked, configured, run, in both styles."""

from __future__ import annotations

import time
from typing import Any

import evoagent_fusion
import pytest
from evoagent_fusion.operator import Fusion

from evoagent import Evolution, Instruction
from evoagent.testing import SEEDS, Script, assert_valid_plugin, run_in_memory, scripted_models

POEM = Instruction("poem", "Write a short poem about a lighthouse.", output="The lamp goes round.")
BREAD = Instruction("bread", "How can I keep bread fresh for a week?", output="Freeze it.")
LETTER = Instruction(
    "letter", "Shorten the letter to one sentence.", "Dear Anna, the roof leaks again and nobody comes."
)
NUMBERS = Instruction("numbers", "Sort the numbers.", "4, 9, 2")


class Says(Script):
    """Answers every prompt with the same text, or with that of the prompt's last task."""

    def __init__(self, *answers: str, **by_word: str) -> None:
        self.answers, self.by_word = answers, by_word

    def generate(self, request: Any) -> str:
        last = request.messages[-1][1]
        for word, answer in self.by_word.items():
            if word in last:
                return answer
        return self.answers[0]


async def fuse(
    script: Script, *parents: Instruction, style: Any = "examples", seed: int = 0, **params: Any
) -> Evolution:
    models = scripted_models(script, style=style, seed=seed)
    try:
        return await Fusion(Fusion.Config(**params)).combine(parents, models)
    finally:
        models.close()


async def test_a_tiny_model_names_the_subject_and_code_gives_it_to_the_other_task() -> None:
    evolution = await fuse(Says("It is about fresh bread."), POEM, BREAD)
    assert evolution.instruction.startswith(POEM.instruction)
    assert "fresh bread" in evolution.instruction.removeprefix(POEM.instruction)
    assert evolution.input == ""


async def test_the_parent_with_an_input_is_the_task_wherever_it_stands() -> None:
    script = Says("It is about fresh bread.")
    for parents in ((LETTER, BREAD), (BREAD, LETTER)):
        evolution = await fuse(script, *parents)
        assert evolution.instruction.startswith(LETTER.instruction)
        assert "fresh bread" in evolution.instruction
        assert evolution.input == LETTER.input


async def test_the_other_way_round_where_the_first_gives_no_subject() -> None:
    evolution = await fuse(Says(lighthouse="It is about a lighthouse.", bread="I would freeze it."), POEM, BREAD)
    assert evolution.instruction.startswith(BREAD.instruction)
    assert "a lighthouse" in evolution.instruction


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", "does not begin"),
        ("Freeze it in slices.", "does not begin"),
        ("It is about the.", "is no topic"),
        ("It is about how you keep bread.", "is no topic"),
        ("It is about keeping the given bread.", "is no topic"),
        ("It is about a bakery in Lisbon.", "words that its parent has not: baker"),
        ("It is about bread that is fresh for a week and for one more week.", "the topic has 12 words"),
        ("It is about bread: 3 kinds.", "is no topic"),
    ],
)
async def test_a_reply_that_is_no_subject_is_refused_with_the_reason(reply: str, reason: str) -> None:
    evolution = await fuse(Says(reply), LETTER, BREAD)
    assert evolution.instruction == ""
    assert reason in (evolution.reason or "")


async def test_a_subject_that_both_have_merges_nothing() -> None:
    cake = Instruction("cake", "Write a poem about fresh bread that stays fresh for a week.")
    evolution = await fuse(Says("It is about fresh bread."), cake, BREAD)
    assert evolution.reason == "the other parent is about that already"


async def test_a_fusion_gets_no_second_subject_but_may_lend_its_own() -> None:
    script = Says(lighthouse="It is about a lighthouse.", bread="It is about fresh bread.", owls="It is about owls.")
    fused = Instruction("fused", (await fuse(script, POEM, BREAD)).instruction)
    evolution = await fuse(script, fused, Instruction("owls", "Why do owls fly without a sound?"))
    assert evolution.instruction.startswith("Why do owls fly")
    again = await fuse(script, fused, Instruction("again", (await fuse(script, BREAD, POEM)).instruction))
    assert again.reason == "the task has got a subject from another one already"


async def test_two_inputs_are_too_much_for_a_tiny_model() -> None:
    assert (await fuse(Says("It is about roofs."), LETTER, NUMBERS)).reason == "both parents have an input"


async def test_the_subject_of_one_parent_is_asked_for_once() -> None:
    models = scripted_models(Says("It is about fresh bread."), style="examples", temperature=0.7)
    for parent in (POEM, LETTER):
        await Fusion().combine((parent, BREAD), models)
    assert len({item.key for item in models.requests}) == 1
    models.close()


@pytest.mark.parametrize(
    ("instruction", "expected"),
    [
        ("Write a Python function that reverses a list.", "data about fresh bread"),
        ("Write a Python function that prints the time.", "similar task about fresh bread"),
        ("A train has 9 wagons with 40 seats. How many seats are there?", "similar problem about fresh bread"),
        ("Plan a day in the woods.", "something"),
        ("Name three rivers of Asia.", "fresh bread"),
        ("Write a recipe for a soup with beans.", "name that has to do with fresh bread"),
        ("How can I learn to whistle?", "how fresh bread can help with it"),
        ("Why do owls fly without a sound?", "comparison"),
        ("Describe a market in the morning.", "about fresh bread"),
    ],
)
async def test_the_wording_fits_the_form_of_the_task(instruction: str, expected: str) -> None:
    evolution = await fuse(Says("It is about fresh bread."), Instruction("task", instruction), BREAD)
    assert expected in evolution.instruction
    assert "fresh bread" in evolution.instruction


async def test_a_task_of_no_known_form_gets_no_subject_but_lends_its_own() -> None:
    script = Says(
        lighthouse="It is about a lighthouse.", bread="It is about fresh bread.", French="It is about French."
    )
    translation = Instruction("translation", "Translate good morning into French.")
    evolution = await fuse(script, translation, BREAD)
    assert evolution.instruction.startswith(BREAD.instruction)
    assert "French" in evolution.instruction
    nothing = await fuse(script, translation, Instruction("other", "Translate good night into Spanish."))
    assert "no sentence is known" in (nothing.reason or "")


async def test_names_in_a_row_are_used_and_not_made_up_anew() -> None:
    rivers = Instruction("rivers", "Sort them by their length.", "Rivers: Lena, Ob, Yukon")
    assert "all of them" in (await fuse(Says("It is about fresh bread."), rivers, BREAD)).instruction


async def test_a_program_is_no_subject_for_a_poem_but_takes_that_of_the_poem() -> None:
    program = Instruction("program", "Write a shell command that prints the time.")
    script = Says(lighthouse="It is about a lighthouse.", command="It is about printing the time.")
    for parents in ((POEM, program), (program, POEM)):
        evolution = await fuse(script, *parents)
        assert evolution.instruction.startswith(program.instruction)
        assert "a lighthouse" in evolution.instruction


async def test_another_draw_may_give_another_wording_and_the_same_draw_never() -> None:
    script = Says("It is about fresh bread.")
    wordings = [(await fuse(script, POEM, BREAD, seed=seed)).instruction for seed in range(12)]
    assert len(set(wordings)) == 3
    assert wordings == [(await fuse(script, POEM, BREAD, seed=seed)).instruction for seed in range(12)]


MERGED = "Write a short poem in which the keeper of a lighthouse keeps his bread fresh for a week of storm."


async def test_a_larger_model_writes_the_fusion_itself() -> None:
    evolution = await fuse(Says(f"<instruction>{MERGED}</instruction>"), POEM, BREAD, style="plain")
    assert evolution.instruction == MERGED
    assert evolution.input == ""


async def test_a_larger_model_sees_both_tasks_and_their_inputs() -> None:
    models = scripted_models(Says("<instruction>x</instruction>"), style="plain")
    await Fusion().combine((LETTER, NUMBERS), models)
    prompt = models.requests[0].request.messages[-1][1]
    for text in (LETTER.instruction, LETTER.input, NUMBERS.instruction, NUMBERS.input):
        assert text in prompt
    models.close()


async def test_two_inputs_are_joined_under_their_names() -> None:
    text = "Shorten the letter to one sentence that has the sorted numbers in it."
    evolution = await fuse(Says(f"<instruction>{text}</instruction>"), LETTER, NUMBERS, style="plain")
    assert evolution.input == f"First input:\n{LETTER.input}\n\nSecond input:\n{NUMBERS.input}"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("<instruction>NO FIT</instruction>", "the model found that they do not fit"),
        ("No fit.", "the model found that they do not fit"),
        ("<instruction>Write a short poem about a lighthouse at night.</instruction>", "it lost the second parent"),
        ("<instruction>How do I keep my bread fresh for a whole week?</instruction>", "it lost the first parent"),
        ("<instruction>Name a city in Peru.</instruction>", "it lost the first parent"),
        (
            "<instruction>Write a short poem about a lighthouse, and keep bread fresh for a week.</instruction>",
            "it only puts the one after the other",
        ),
        ("", "the completion is empty"),
        ("I'm sorry, but I cannot do that.", "declines"),
    ],
)
async def test_a_larger_model_is_refused_with_the_reason(reply: str, reason: str) -> None:
    evolution = await fuse(Says(reply), POEM, BREAD, style="plain")
    assert evolution.instruction == ""
    assert reason in (evolution.reason or "")
    assert evolution.raw == reply


async def test_words_of_a_demonstration_are_no_fusion() -> None:
    copied = "Write a short poem about the sea in which each line gives a lighthouse some fresh bread for a week."
    evolution = await fuse(Says(f"<instruction>{copied}</instruction>"), POEM, BREAD, style="plain")
    assert "it copies an example" in (evolution.reason or "")


async def test_how_much_of_a_parent_must_stay_is_a_parameter() -> None:
    reply = "<instruction>Write a poem about a lighthouse made of bread.</instruction>"
    assert (await fuse(Says(reply), POEM, BREAD, style="plain", min_share=0.2)).instruction
    assert "it lost" in ((await fuse(Says(reply), POEM, BREAD, style="plain", min_share=0.9)).reason or "")


async def test_one_parent_is_not_enough_and_says_so() -> None:
    models = scripted_models()
    assert "found 1" in ((await Fusion().combine((POEM,), models)).reason or "")
    assert not models.requests
    models.close()


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (Instruction("x", POEM.instruction), "both parents ask the same"),
        (Instruction("x", " \n!?"), "the second parent has no words"),
        (Instruction("x", "word " * 4_000), "characters"),
    ],
)
async def test_pairs_that_cannot_fit_cost_no_request(other: Instruction, reason: str) -> None:
    models = scripted_models()
    evolution = await Fusion().combine((POEM, other), models)
    assert reason in (evolution.reason or "")
    assert not models.requests
    models.close()


HOSTILE = [
    "\x00\x07\x1b[31m red",
    "a" * 20_000,
    "the " * 5_000,
    "It is about " + "bread " * 3_000,
    "It is about " + "-" * 20_000,
    "<instruction>" * 1_500,
    "<instruction></instruction>",
    "\u202e\u200b\ufeff It is about é́́́",
    "👩‍👩‍👧 🏳️‍🌈",
    "It is about {{ bread }} {bread} %s",
    "{s}",
    "\n\n\n",
]


@pytest.mark.parametrize("style", ["plain", "examples"])
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
async def test_hostile_text_is_an_evolution_or_a_reason_and_costs_little(text: str, style: str) -> None:
    start = time.perf_counter()
    for evolution in (
        await fuse(Says(text), POEM, BREAD, style=style),
        await fuse(Says("It is about fresh bread."), Instruction("x", text), BREAD, style=style),
        await fuse(Says("It is about fresh bread."), POEM, Instruction("x", text, text), style=style),
    ):
        assert bool(evolution.instruction) != bool(evolution.reason)
        assert len(evolution.instruction) < 20_000
    assert time.perf_counter() - start < 5


def test_the_plugin_is_valid() -> None:
    assert_valid_plugin(evoagent_fusion)


class Topics(Script):
    """Names the last three words of the task."""

    def generate(self, request: Any) -> str:
        task = request.messages[-1][1].partition("Task: ")[2].partition("\n")[0]
        return f"It is about {' '.join(task.strip('?.').split()[-2:])}."


def test_a_run_records_both_parents_of_every_survivor() -> None:
    several = {"evolver": {"samples": 3}}
    run = run_in_memory(operators=["fusion"], style="examples", script=Topics(), config=several)
    assert len({survivor.instruction for survivor in run.survivors}) > len(SEEDS)
    for survivor in run.survivors:
        assert len({parent.id for parent in survivor.parents}) == 2
        assert survivor.operator == "fusion"


def test_parameters_are_checked() -> None:
    with pytest.raises(ValueError, match="min_share"):
        Fusion.Config(min_share=2)
    with pytest.raises(ValueError, match="similarity"):
        Fusion.Config.model_validate({"similarity": 1})
