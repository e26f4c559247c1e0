"""Prompt files: what is read, what is refused, and what a model gets to see."""

from __future__ import annotations

from pathlib import Path

import pytest

from evoagent.errors import ConfigError
from evoagent.operators.prompt_file import PromptFile, load_prompt_dir, load_prompt_file, nearest
from evoagent.records import Instruction
from evoagent.resources import prompts_dir

HEAD = """---
name: shorten
family: depth
method: asks for less
source: here
examples:
  user: "Task: {{ instruction }}"
  pairs:
    - {instruction: Say it., evolved: Say it briefly.}
---
"""
BODY = "Make it shorter: {{ instruction }}{% if input %} ({{ input }}){% endif %}"


def write(folder: Path, text: str, name: str = "shorten.md") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def file(tmp_path: Path) -> PromptFile:
    return load_prompt_file(write(tmp_path, HEAD + BODY))


def test_the_shipped_operators_are_all_there() -> None:
    found = {prompt.name: prompt.family for prompt in load_prompt_dir(prompts_dir())}
    assert found == {
        "breadth": "breadth",
        "complicate-input": "depth",
        "concretising": "depth",
        "constraints": "depth",
        "deepening": "depth",
        "reasoning": "depth",
    }


@pytest.mark.parametrize("style", ["plain", "examples"])
def test_every_shipped_prompt_shows_the_parent_last_and_only_once(style: str) -> None:
    parent = Instruction(id="1", instruction="Draw a map of Atlantis", input="north is up")
    for prompt in load_prompt_dir(prompts_dir()):
        chat = prompt.messages(parent, style)  # type: ignore[arg-type]
        assert chat[0]["role"] == "system"
        assert chat[-1]["role"] == "user"
        assert chat[-1]["content"].count(parent.instruction) == 1
        assert not any(parent.instruction in turn["content"] for turn in chat[:-1])
        shown = len(prompt.head.demonstrations) if style == "plain" else prompt.head.examples.show
        assert len(chat) == 2 + 2 * shown


def test_plain_prompts_show_the_input_where_there_is_one() -> None:
    for prompt in load_prompt_dir(prompts_dir()):
        with_input = prompt.messages(Instruction(id="1", instruction="Sort.", input="b, a"), "plain")[-1]["content"]
        without = prompt.messages(Instruction(id="1", instruction="Sort."), "plain")[-1]["content"]
        assert "<input>\nb, a\n</input>" in with_input
        assert "<input>\n" not in without


@pytest.mark.parametrize(
    "hostile", ["{{ 7 * 7 }}", "{% for i in range(9) %}x{% endfor %}", "{# gone #}", "{{ instruction }}"]
)
def test_a_parent_is_data_and_never_template(file: PromptFile, hostile: str) -> None:
    parent = Instruction(id="1", instruction=hostile, input=hostile)
    for style in ("plain", "examples"):
        assert hostile in file.messages(parent, style)[-1]["content"]  # type: ignore[arg-type]


def test_the_hash_follows_the_content(file: PromptFile, tmp_path: Path) -> None:
    again = load_prompt_file(write(tmp_path, HEAD + BODY, "copy.md"))
    other = load_prompt_file(write(tmp_path, HEAD + BODY + "!", "other.md"))
    assert file.prompt_hash == again.prompt_hash != other.prompt_hash
    assert len(file.prompt_hash) == 16


def test_a_few_lines_are_enough(tmp_path: Path) -> None:
    file = load_prompt_file(
        write(tmp_path, "---\nname: shorter\nfamily: depth\nmethod: asks for less\n---\nShorten: {{ instruction }}\n")
    )
    parent = Instruction(id="p", instruction="Name a tree.")
    assert file.messages(parent, "plain") == ({"role": "user", "content": "Shorten: Name a tree."},)
    assert file.messages(parent, "examples") == file.messages(parent, "plain"), "a tiny model is asked all the same"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("no head", "expected YAML front matter"),
        ("---\na: [\n---\nx", "not valid YAML"),
        ("---\n- a\n---\nx", "expected keys and values, found list"),
        (HEAD.replace("family: depth", "family: deep") + BODY, "family: Input should be 'depth' or 'breadth'"),
        (HEAD.replace("method: ", "methods: ") + BODY, "method: Field required"),
        (HEAD.replace("source: here", "source: here\ncolour: red") + BODY, "colour: Extra inputs are not permitted"),
        (HEAD.replace("name: shorten", "name: Shorten it") + BODY, "name: "),
        (HEAD.replace("evolved: Say", "rewritten: Say") + BODY, r"examples\.pairs\.0\.rewritten: Extra inputs"),
        (
            HEAD.replace("  pairs", "  opening: Ask\n  pairs") + BODY,
            "examples: pairs, number 1: `evolved` does not begin",
        ),
        (
            HEAD.replace("  pairs", "  writes: input\n  pairs") + BODY,
            "examples: pairs, number 1: expected `evolved_input`",
        ),
        (
            HEAD.replace("source: here", "source: here\ninput: write") + BODY,
            "input: write and examples.writes: instruction",
        ),
        (
            HEAD.replace("source: here", "source: here\ndemonstrations: [{instruction: Say it.}]") + BODY,
            "demonstrations, number 1: expected `evolved` and no `evolved_input`",
        ),
        (HEAD, "body: expected {{ instruction }}"),
        (HEAD + "{{ instruction", "body: not a valid template, line 1"),
        (HEAD + BODY + "{{ output }}", "body: found output; expected only input, instruction"),
        (HEAD.replace("{{ instruction }}", "{{ task }}") + BODY, r"examples\.user: found task"),
    ],
)
def test_a_broken_file_is_refused_with_its_name_and_the_key(tmp_path: Path, text: str, complaint: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError, match=complaint) as caught:
        load_prompt_file(path)
    assert str(path) in str(caught.value)


def test_a_folder_is_refused_where_it_is_missing_or_names_an_operator_twice(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a folder of prompt files, found nothing"):
        load_prompt_dir(tmp_path / "none")
    write(tmp_path, HEAD + BODY, "a.md")
    write(tmp_path, HEAD + BODY, "b.md")
    with pytest.raises(ConfigError, match="'shorten' is taken by"):
        load_prompt_dir(tmp_path)


def test_examples_of_the_parent_s_form_stand_last_and_differ_between_parents() -> None:
    pairs = next(prompt for prompt in load_prompt_dir(prompts_dir()) if prompt.name == "deepening").head.examples.pairs
    question = Instruction(id="1", instruction="Why is the sky blue?")
    shown = nearest(pairs, question, 3)
    assert all(pair.instruction.endswith("?") for pair in shown)
    assert shown == nearest(pairs, question, 3)
    orders = {tuple(nearest(pairs, Instruction(id="1", instruction=f"Count to {n}."), 3)) for n in range(10)}
    assert len(orders) > 3
