"""Fusion with a large model: it is told what to do, and may say that two tasks do not fit.

One of 1.5 billion parameters hardly ever merges two tasks; larger ones were not tried.
"""

from __future__ import annotations

import re

from evoagent import Instruction
from evoagent_fusion.words import shared_run

NO_FIT = "NO FIT"
_MAX_INPUT = 1500  # characters of an input that are shown: enough to see what it is

_SYSTEM = (
    "You merge two tasks into one new task. It asks for what the first task asks for, and the second task says what it "
    "is about, for whom it is, or what it works with: whoever solves it needs both. It is one request and no list of "
    'two: never "do this, and then do that". It is hardly longer than the two together, and whatever it needs stands '
    "in it or in the input. Inputs stay as they are and are not repeated. You never solve a task. You write the new "
    "task between <instruction> and </instruction>, and nothing else. Only where the two cannot have anything to do "
    f"with each other, you write <instruction>{NO_FIT}</instruction>."
)

_DEMONSTRATIONS = (
    (
        ("Translate the greeting into French.", "Good morning, neighbour."),
        ("Solve for y.", "2y = 10"),
        NO_FIT,
    ),
    (
        ("Write a short poem about the sea.", ""),
        ("How can I sleep better at night?", ""),
        "Write a short poem about the sea in which each line gives a tired child a piece of advice for falling asleep.",
    ),
    (
        ("Why do cats purr?", ""),
        ("Write an email to my landlord.", ""),
        "Why do cats purr? Explain it to a landlord who thinks that the noise behind the wall is a broken pump.",
    ),
    (
        ("A farmer has 12 cows and sells 5 of them. How many are left?", ""),
        ("Give me five tips against a fear of heights.", ""),
        "A course against the fear of heights has 12 members, and 5 of them turn back on the first ladder. How many "
        "members are left on it?",
    ),
    (
        ("Write a function that sorts a list of names.", ""),
        ("Name some famous inventions.", ""),
        "Write a function that sorts a list of famous inventions by their year, and call it with five inventions.",
    ),
    (
        ("Write an email to my landlord.", ""),
        ("Classify the sentence as positive or negative.", "The train was late, but the seats were comfortable."),
        "Write an email to my landlord that quotes the sentence, and say why it fits the new heating just as well.",
    ),
)


def messages(first: Instruction, second: Instruction) -> list[dict[str, str]]:
    """The chat that asks for a fusion of the two."""
    chat = [{"role": "system", "content": _SYSTEM}]
    for one, other, fused in _DEMONSTRATIONS:
        chat.append({"role": "user", "content": _ask(one, other)})
        chat.append({"role": "assistant", "content": f"<instruction>{fused}</instruction>"})
    asked = _ask((first.instruction, first.input), (second.instruction, second.input))
    return [*chat, {"role": "user", "content": asked}]


def _ask(first: tuple[str, str], second: tuple[str, str]) -> str:
    return f"Merge these two tasks.\n\n{_part('first', *first)}\n{_part('second', *second)}"


def _part(name: str, instruction: str, input: str) -> str:
    text = f"<{name}>\n{instruction}\n</{name}>"
    if input:
        shown = input if len(input) <= _MAX_INPUT else f"{input[:_MAX_INPUT]} …"
        text += f"\n<{name}-input>\n{shown}\n</{name}-input>"
    return text


def joined_input(first: Instruction, second: Instruction) -> str:
    """The inputs of both, each under its name; the only one as it is."""
    if first.input and second.input:
        if first.input == second.input:
            return first.input
        return f"First input:\n{first.input}\n\nSecond input:\n{second.input}"
    return first.input or second.input


def declines(text: str) -> bool:
    """Whether a reply says that the two do not fit."""
    return re.sub(r"[\W_]+", " ", text[:40]).strip().upper() in {NO_FIT, "NOFIT", "NONE", "NO"}


def copied(text: str, first: Instruction, second: Instruction) -> str | None:
    """A run of words that `text` takes out of a demonstration, and not from its parents."""
    for _, _, fused in _DEMONSTRATIONS:
        run = shared_run(text, fused)
        if run and not shared_run(run, first.prompt_text) and not shared_run(run, second.prompt_text):
            return run
    return None
