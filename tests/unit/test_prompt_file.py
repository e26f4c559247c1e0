"""Prompt files: what is read, what is refused, and what a model gets to see."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from evoagent.config.resources import prompts_dir
from evoagent.errors import ConfigError
from evoagent.operators.prompt import PromptOperator
from evoagent.prompts import judge as judging
from evoagent.prompts.chat import Style
from evoagent.prompts.prompt_file import PromptFile, load_prompt_dir, load_prompt_file, nearest
from evoagent.records import Instruction
from evoagent.testing import scripted_models

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
        (HEAD + BODY + "{{ output }}", "body: found output; expected only document, input, instruction"),
        (HEAD.replace("{{ instruction }}", "{{ task }}") + BODY, r"examples\.user: found task"),
    ],
)
def test_a_broken_file_is_refused_with_its_name_and_the_key(tmp_path: Path, text: str, complaint: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError, match=complaint) as caught:
        load_prompt_file(path)
    assert str(path) in str(caught.value)


BOMB = "a0: &a0 {x: y}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 18))


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("head", "complaint"),
    [
        (BOMB, r"line \d+: found more than 20000 values, aliases counted"),
        ("a:\n  b: " + "[" * 100_000, "line 2: not valid YAML"),
        ("a: x\nb: " + "[" * 400 + "]" * 400, "line 3: "),
        ("a: 1\nb: 2\na: 3", "line 4: key `a` is given twice"),
        ("a: 1\nb: [", "line 3: .*not valid YAML"),
        ("a: " + "x" * 300_000, "found 300003 characters"),
    ],
)
def test_yaml_that_grows_is_refused_with_its_line(tmp_path: Path, head: str, complaint: str) -> None:
    path = write(tmp_path, f"---\n{head}\n---\n{BODY}")
    with pytest.raises(ConfigError, match=rf"shorten\.md: front matter: .*{complaint}"):
        load_prompt_file(path)


@pytest.mark.timeout(20)
def test_what_is_no_readable_file_is_refused_with_its_path(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.md")
    (tmp_path / "folder.md").mkdir()
    (tmp_path / "latin.md").write_bytes(b"---\nname: caf\xe9\n---\n")
    write(tmp_path, HEAD + "x" * (1 << 20), "large.md")
    for name, complaint in (
        ("pipe.md", "found a pipe, expected a file"),
        ("folder.md", "found a folder, expected a file"),
        ("latin.md", "found byte 0xe9, expected UTF-8"),
        ("large.md", "found more than 1048576 characters"),
        ("none.md", "No such file"),
        ("x" * 300, "File name too long"),
        ("nul\0.md", "null byte"),
    ):
        with pytest.raises(ConfigError, match=complaint) as caught:
            load_prompt_file(tmp_path / name)
        assert str(tmp_path) in str(caught.value)
    with pytest.raises(ConfigError, match="/dev/zero: found a device, expected a file"):
        load_prompt_file(Path("/dev/zero"))


@pytest.mark.timeout(20)
def test_a_judge_s_endless_wording_is_refused_with_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(prompts_dir() / "judges", tmp_path / "judges")
    with (tmp_path / "judges" / "equality.md").open("a", encoding="utf-8") as file:
        file.write("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}")
    monkeypatch.setattr(judging, "prompts_dir", lambda: tmp_path)
    with pytest.raises(ConfigError, match=r"equality\.md: found more than \d+ turns"):
        judging.load_judge.__wrapped__("equality")


def test_a_folder_is_refused_where_it_is_missing_or_names_an_operator_twice(tmp_path: Path) -> None:
    for none in ("none", "x" * 300, "nul\0"):
        with pytest.raises(ConfigError, match="expected a folder of prompt files, found nothing"):
            load_prompt_dir(tmp_path / none)
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


DOCUMENT_FILE = """---
name: ask
family: breadth
method: asks for what a text answers
examples:
  user: "Text: {{ document }}"
  pairs:
    - document: Salt keeps food.
      evolved: Why is fish laid in salt?
---
Write a question that this text answers.
{{ document }}
"""


@pytest.mark.parametrize("style", ["plain", "examples"])
async def test_a_prompt_for_documents(tmp_path: Path, style: Style) -> None:
    document, seed = Instruction("d", "", "Ice keeps food."), Instruction("s", "Say hello.", "Ice keeps food.")
    prompt = load_prompt_file(write(tmp_path, DOCUMENT_FILE))
    chat = prompt.messages(document, style)
    assert "Ice keeps food." in chat[-1]["content"]
    assert [turn["role"] for turn in chat[:-1]] == (["user", "assistant"] if style == "examples" else [])
    models = scripted_models(style=style)
    operator = PromptOperator(prompt)
    evolution = await operator.evolve(document, models)
    assert evolution.instruction
    assert evolution.input is None, "the text stays its input"
    assert (await operator.evolve(seed, models)).reason == "the parent is no document"
    assert len(models.requests) == 1
    ordinary = PromptOperator(load_prompt_file(write(tmp_path, HEAD + BODY)))
    assert (await ordinary.evolve(document, models)).reason == "the parent is a document"
    assert len(models.requests) == 1
    models.close()


async def test_a_prompt_for_both(tmp_path: Path) -> None:
    body = "{% if document %}Ask about: {{ document }}{% else %}Rewrite: {{ instruction }}{% endif %}"
    prompt = load_prompt_file(write(tmp_path, f"---\nname: both\nfamily: breadth\nmethod: both\n---\n{body}"))
    assert prompt.messages(Instruction("d", "", "A text."), "plain")[-1]["content"] == "Ask about: A text."
    assert prompt.messages(Instruction("s", "Say it."), "plain")[-1]["content"] == "Rewrite: Say it."


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("Text: {{ document }}", "{{ instruction }}", "examples.user: found `instruction`, expected `document` as in"),
        ("- document: Salt", "- instruction: Salt", r"examples.pairs, number 1: found `instruction`, expected"),
        ("- document: Salt", "- input: Salt", r"found neither of `instruction` and `document`, expected one"),
        ("  pairs:", "  writes: addition\n  pairs:", "a document has nothing to add to"),
        ("\n{{ document }}\n", "", "body: expected {{ instruction }} or {{ document }} somewhere in it"),
    ],
)
def test_a_broken_prompt_for_documents(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        load_prompt_file(write(tmp_path, DOCUMENT_FILE.replace(old, new)))
