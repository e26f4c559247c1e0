"""What is taken out of a completion: by hand-made cases, by real completions, and by property."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evoagent.operators.extraction import MAX_CHARACTERS, extract

FIXTURES = Path(__file__).parents[1] / "fixtures" / "completions"

TASK = "List three rivers of Asia that flow north, and give the length of each."
CODE = "Fix this function, and explain the mistake:\n\n```python\ndef f(x):\n    return x +\n\n\nprint(f(1))\n```"
LIST = 'Sort the words "pear", "fig" and "apple" as follows:\n1. by length\n2. by alphabet\n\nShow both orders.'


@pytest.mark.parametrize(
    "completion",
    [
        TASK,
        f"  {TASK}\n\n",
        f'"{TASK}"',
        f"“{TASK}”",
        f"**{TASK}**",
        f"```\n{TASK}\n```",
        f"```text\n{TASK}\n```\nThis version is harder.",
        f"Harder: {TASK}",
        f"**Rewritten task:** {TASK}",
        f"### New Instruction:\n{TASK}",
        f"Task: {TASK}",
        f"Sure! Here is the rewritten task:\n\n{TASK}",
        f'Certainly! Here\'s a harder version of the task: "{TASK}"',
        f"Here is a more complex version:\n{TASK}\n\nI hope this helps!",
        f"Original: List three rivers.\nHarder: {TASK}",
        f"{TASK}\nOriginal: Name a lake.\nHarder: Name a lake in Asia.",
        f"{TASK}\n\nAnswer: The Ob, the Lena and the Yenisei.",
        f"{TASK}\n\nThis version asks for more knowledge.",
        f"{TASK}\n\nI have added a requirement about direction.",
        f"{TASK}<|im_end|>\n<|im_start|>user\nThanks!",
        f"{TASK}\n\nUser: And the shortest one?",
        f"<|im_start|>{TASK}",
        f"<instruction>{TASK}</instruction>",
        f"Sure!\n<Instruction>\n{TASK}\n</Instruction>\nDone.",
        f"I write between <instruction> and </instruction>: <instruction>{TASK}</instruction>",
        f"<instruction>{TASK}",
        f"{TASK}</instruction>",
        f"<task>\n{TASK}\n</task>",
        f"<instruction>{TASK}</instruction>\n<input>\nAsia\n</input>",
        f"\ufeff{TASK}\u200b\r\n",
    ],
)
def test_the_instruction_is_found_in_its_wrapping(completion: str) -> None:
    assert extract(completion).instruction == TASK


@pytest.mark.parametrize(
    "instruction",
    [
        CODE,
        LIST,
        'Is "to be" a verb, and is it the same in "to be or not to be"?',
        '"Carpe diem" means what, and who wrote "carpe"?',
        "Here are ten words. Sort them by length:\napple\nfig",
        "Summarize this talk:\nUser: Hello\nAssistant: Good morning",
        "Fill in the form:\nName: ...\nAnswer: ...",
        "Write a regular expression for `a<b>` and <b>bold</b> text.",
        "用三句话解释黑洞，不要使用公式。",
        "The task of a judge is hard. Explain why.",
        "I am sorry for my friend. What should I write to her?",
        "Explain <|this|> odd notation, where a | b means a or b.",
    ],
)
def test_a_clean_instruction_comes_through_unchanged(instruction: str) -> None:
    found = extract(instruction)
    assert found.instruction == instruction
    assert found.steps == ()


WORDS = st.sampled_from(
    [
        '"pear"',
        "`x = 1`",
        "(a, b)",
        "why",
        "rivers",
        "naïve",
        "水",
        "3.5",
        "it's",
        "- item",
        "1. one",
        "*bold*",
        "x<y",
        "don't",
    ]
)
CLEAN = st.builds(
    lambda verb, parts, end: f"{verb} {' '.join(parts)}{end}",
    st.sampled_from(["Explain", "List", "Write", "How do", "What is"]),
    st.lists(st.one_of(WORDS, st.just("\n"), st.just("\n\n")), min_size=1, max_size=30),
    st.sampled_from(["?", ".", " now:", " end"]),
)


@given(CLEAN)
def test_any_clean_instruction_comes_through_unchanged(instruction: str) -> None:
    assert extract(instruction).instruction == instruction


@given(st.text(max_size=400))
def test_what_was_extracted_is_stable_and_has_words_or_a_reason(completion: str) -> None:
    found = extract(completion)
    assert bool(found.instruction) != bool(found.reason)
    assert len(found.instruction) <= 3 * max(1, len(completion))


@pytest.mark.parametrize(
    ("completion", "reason"),
    [
        ("", "the completion is empty"),
        (" \n\n", "the completion is empty"),
        ("...\n!!", "the completion holds no words"),
        ("<|im_end|>", "the completion holds no words"),
        ("I'm sorry, but I can't help with that.", "the completion declines"),
        ("I write it between <instruction> and </instruction>.", "the completion speaks of the markers"),
        ("As an AI language model, I cannot rewrite it.", "the completion declines"),
    ],
)
def test_where_there_is_nothing_the_reason_is_given(completion: str, reason: str) -> None:
    found = extract(completion)
    assert (found.instruction, found.reason) == ("", reason)


@pytest.mark.parametrize(
    "completion",
    [
        "<instruction>Add up the sales.</instruction>\n<input>\nMay: 3\nJune: 4\n</input>",
        "<instruction>Add up the sales.</instruction>\n\n<input>May: 3\nJune: 4",
        "Add up the sales.\nInput:\nMay: 3\nJune: 4",
        "**Instruction:** Add up the sales.\n\n**Input:**\nMay: 3\nJune: 4",
    ],
)
def test_an_input_is_taken_apart_where_one_was_asked_for(completion: str) -> None:
    found = extract(completion, with_input=True)
    assert (found.instruction, found.input) == ("Add up the sales.", "May: 3\nJune: 4")


def test_a_line_called_input_stays_where_none_was_asked_for() -> None:
    assert extract("Write a program.\nInput: n\nIt prints n.").instruction == "Write a program.\nInput: n\nIt prints n."


@pytest.mark.parametrize(
    "piece",
    [
        "<instruction>",
        "</instruction>",
        "```\n",
        "Harder: ",
        "\n\n",
        "here is the ",
        '"',
        "*",
        "# ",
        " ",
        "Sure! ",
        "<|im_start|>",
    ],
)
def test_a_runaway_completion_is_bounded(piece: str) -> None:
    found = extract(piece * 500_000)
    assert len(found.instruction) <= MAX_CHARACTERS


@pytest.mark.parametrize("name", ["smollm2", "qwen"])
def test_real_completions(name: str) -> None:
    rows = [json.loads(line) for line in (FIXTURES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) >= 20
    for row in rows:
        found = extract(row["completion"], with_input=row["with_input"])
        expected = row["expected"]
        assert {"instruction": found.instruction, "input": found.input, "reason": found.reason} == expected, row
