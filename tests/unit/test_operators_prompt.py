"""The operator that a prompt file is, with a model that says what the test wants."""

from __future__ import annotations

from typing import Any

import pytest

from evoagent.config.resources import prompts_dir
from evoagent.models.requests import Completion, GenerateRequest, Sampling
from evoagent.models.roles import Models
from evoagent.operators.prompt import PromptOperator, append_sentence
from evoagent.prompts.prompt_file import load_prompt_file
from evoagent.records import Evolution, Instruction

POEM = Instruction(id="1", instruction="Write a poem about rain.")
PAIRS = Instruction(id="2", instruction="What is the relation between the given pairs:", input="night : day")


class Says:
    """A dispatcher whose every model says one thing."""

    def __init__(self, text: str, style: str, finish_reason: str = "stop", max_tokens: int = 512) -> None:
        self.completion = Completion(text, finish_reason)
        self.requests: list[GenerateRequest] = []
        self._style, self._max_tokens = style, max_tokens

    def style(self, role: str) -> str:
        return self._style

    def sampling(self, role: str) -> Sampling:
        return Sampling(temperature=0.7, max_tokens=self._max_tokens)

    async def submit(self, role: str, request: GenerateRequest, scope: Any) -> Completion:
        self.requests.append(request)
        return self.completion


async def evolve(operator: str, parent: Instruction, says: Says) -> Evolution:
    file = load_prompt_file(prompts_dir() / f"{operator}.md")
    return await PromptOperator(file).evolve(parent, Models(says))  # type: ignore[arg-type]


async def test_a_capable_model_rewrites_and_the_input_is_kept() -> None:
    says = Says("Sure!\n<instruction>Name two relations.</instruction>", "plain")
    found = await evolve("constraints", PAIRS, says)
    assert found == Evolution("Name two relations.", None, None, says.completion.text, False)


async def test_breadth_drops_the_parent_s_input_since_the_new_task_stands_alone() -> None:
    for style, text in (
        ("plain", "<instruction>Describe how owls hunt.</instruction>"),
        ("examples", "Describe how owls hunt."),
    ):
        found = await evolve("breadth", PAIRS, Says(text, style))
        assert (found.instruction, found.input) == ("Describe how owls hunt.", "")


async def test_complicate_input_takes_the_input_that_was_written() -> None:
    text = "<instruction>Sort the pairs.</instruction>\n<input>night : day\nup : down</input>"
    found = await evolve("complicate-input", PAIRS, Says(text, "plain"))
    assert (found.instruction, found.input) == ("Sort the pairs.", "night : day\nup : down")


async def test_a_tiny_model_s_addition_goes_after_the_parent() -> None:
    found = await evolve("constraints", POEM, Says(" The answer must have six lines.\n", "examples"))
    assert found.instruction == "Write a poem about rain. The answer must have six lines."
    assert found.input is None


async def test_a_tiny_model_s_words_go_after_the_parent_s_input() -> None:
    says = Says("Words: twin, clock, Clock, war, mirror", "examples")
    found = await evolve("complicate-input", PAIRS, says)
    assert found.instruction.startswith("What is the relation between the given pairs. Use all of the words")
    assert found.input == "night : day\n\nWords: twin, clock, war, mirror"


@pytest.mark.parametrize(
    ("operator", "text", "reason"),
    [
        ("constraints", "Drops fall from the sky.", "does not begin with 'The answer must'"),
        ("constraints", "The answer must", "only its opening"),
        ("constraints", "", "the completion is empty"),
        ("deepening", "Then explain which reason is the least likely, and why", "a copy of a worked example"),
        ("complicate-input", "Words: rain, rain, rain, rain, rain", "1 different items, expected 4"),
        ("complicate-input", "Words: rain, a cold wind, some snow, sun", "2 different items, expected 4"),
        (
            "reasoning",
            "Reason in three steps: first the rain, then the sun, and last the rain.",
            "2 different items, expected 3",
        ),
        ("breadth", "In Atlantis it rains.", "does not begin with 'Describe how'"),
    ],
)
async def test_a_reply_of_another_form_is_no_evolution(operator: str, text: str, reason: str) -> None:
    found = await evolve(operator, POEM, Says(text, "examples"))
    assert found.instruction == ""
    assert reason in (found.reason or "")
    assert found.raw == text


async def test_what_the_parent_says_already_is_not_added_again() -> None:
    parent = Instruction(id="1", instruction="Write a poem. The answer must have six lines.")
    found = await evolve("constraints", parent, Says("The answer must have six lines.", "examples"))
    assert found.reason == "the reply is in the parent already"


@pytest.mark.parametrize("style", ["plain", "examples"])
async def test_tokens_are_bounded_by_the_role_and_by_the_parent(style: str) -> None:
    for most in (64, 100_000):
        says = Says("x", style, max_tokens=most)
        await evolve("constraints", POEM, says)
        assert says.requests[0].sampling.max_tokens <= min(most, len(POEM.instruction) + 96)


async def test_a_completion_that_ran_out_of_tokens_is_marked() -> None:
    assert (await evolve("constraints", POEM, Says("The answer must have a", "examples", "length"))).truncated


@pytest.mark.parametrize(
    ("instruction", "expected"),
    [
        ("Write a poem.", "Write a poem. And a song."),
        ("Why?", "Why? And a song."),
        ("Write a poem", "Write a poem. And a song."),
        ("Use this word:", "Use this word. And a song."),
        ("Write:\n- a poem", "Write:\n- a poem.\nAnd a song."),
        ('Explain "rain"', 'Explain "rain" And a song.'),
        ("写一首诗。", "写一首诗。 And a song."),
    ],
)
def test_a_sentence_is_appended_as_a_reader_expects(instruction: str, expected: str) -> None:
    assert append_sentence(instruction, "And a song.") == expected
