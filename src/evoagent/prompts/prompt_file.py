"""Operators that are only a prompt: one Markdown file each, with YAML front matter and a Jinja2 body."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from evoagent.config.model import Strict
from evoagent.errors import ConfigError
from evoagent.prompts.chat import Style
from evoagent.prompts.front_matter import front_matter
from evoagent.prompts.rendering import check_prompt, render_prompt
from evoagent.records import Instruction, content_id
from evoagent.text import QUESTION_WORDS

VARIABLES = frozenset({"instruction", "input", "document"})
"""What a template may use: the parent's texts. They are data, and are never read as template.

Of a parent that is a document, its text is `document` and the others are ""; of any other, `document` is "".
"""


class WorkedExample(Strict):
    """A parent, an instruction or a document, and what to write for it: an instruction, an addition, or an input."""

    instruction: str = ""
    document: str = ""
    input: str = ""
    evolved: str = ""
    evolved_input: str = ""

    @model_validator(mode="after")
    def _of_one_parent(self) -> WorkedExample:
        if bool(self.instruction) == bool(self.document):
            found = "both" if self.document else "neither"
            raise ValueError(f"found {found} of `instruction` and `document`, expected one")
        if self.document and self.input:
            raise ValueError("`input` and `document` do not go together")
        return self


class Examples(Strict):
    """The style for tiny models: worked examples as chat turns, then the parent.

    Attributes:
        user: template of a user turn.
        show: how many examples are shown: those most like the parent, the most alike last.
        writes: "instruction": the completion is the new instruction; "addition": sentences that go after the
            parent's instruction; "input": lines that go after the parent's input.
        opening: what every reply begins with. A model that strays from it answers, or talks about the task.
        items: how many different things, separated by commas, a reply must hold; 0 asks for none. A tiny model falls
            into repeating one.
        lead: with "input": the sentence after the parent's instruction that speaks of the new lines.
        stop: strings that end the completion.
    """

    system: str = ""
    user: str = Field(min_length=1)
    show: int = Field(6, ge=1)
    writes: Literal["instruction", "addition", "input"] = "instruction"
    opening: str = ""
    items: int = Field(0, ge=0)
    lead: str = ""
    stop: tuple[str, ...] = ()
    pairs: tuple[WorkedExample, ...] = Field(min_length=1)

    def reply(self, pair: WorkedExample) -> str:
        """What the assistant says in a worked example."""
        return pair.evolved_input if self.writes == "input" else pair.evolved

    @model_validator(mode="after")
    def _pairs_fit(self) -> Examples:
        key, other = ("evolved_input", "evolved") if self.writes == "input" else ("evolved", "evolved_input")
        for number, pair in enumerate(self.pairs, 1):
            if not getattr(pair, key) or getattr(pair, other):
                wanted = f"expected `{key}` and no `{other}`"
                raise ValueError(f"pairs, number {number}: {wanted} with writes: {self.writes}")
            if not self.reply(pair).startswith(self.opening):
                raise ValueError(f"pairs, number {number}: `{key}` does not begin with the opening {self.opening!r}")
        if bool(self.lead) != (self.writes == "input"):
            raise ValueError(f"lead: {'out of place' if self.lead else 'missing'} with writes: {self.writes}")
        return self


class PromptHead(Strict):
    """The front matter of a prompt file.

    Attributes:
        method: what it does to an instruction, in a line.
        source: where the method is described; may be left out.
        input: what becomes of the parent's input: kept, dropped (the new instruction stands alone), or written anew.
        system: the system turn of the plain style; the body is its user turn.
        examples: the style for tiny models. Without it they are prompted in the plain style, which few understand.
        demonstrations: whole evolutions, shown as turns of the plain style: they teach the form more surely than words.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    family: Literal["depth", "breadth"]
    method: str = Field(min_length=1)
    source: str = ""
    needs: tuple[str, ...] = ("evolver.generate",)
    input: Literal["keep", "drop", "write"] = "keep"
    system: str = ""
    demonstrations: tuple[WorkedExample, ...] = ()
    examples: Examples | None = None

    @model_validator(mode="after")
    def _inputs_agree(self) -> PromptHead:
        if self.examples is not None and (self.input == "write") != (self.examples.writes == "input"):
            raise ValueError(f"input: {self.input} and examples.writes: {self.examples.writes} do not go together")
        for number, pair in enumerate(self.demonstrations, 1):
            if not pair.evolved or bool(pair.evolved_input) != (self.input == "write"):
                both = "`evolved` and `evolved_input`" if self.input == "write" else "`evolved` and no `evolved_input`"
                raise ValueError(f"demonstrations, number {number}: expected {both} with input: {self.input}")
        if self.input == "drop" and self.examples is not None and self.examples.writes == "addition":
            raise ValueError("input: drop and examples.writes: addition do not go together")
        return self


@dataclass(frozen=True, slots=True)
class PromptFile:
    """A parsed prompt file.

    Attributes:
        prompt_hash: 16 hex digits of the SHA-256 of its content.
        parents: what it is for, as its templates use it: "instruction", "document" or both.
    """

    head: PromptHead
    body: str
    prompt_hash: str
    path: Path
    parents: frozenset[str] = frozenset({"instruction"})

    @property
    def name(self) -> str:
        """The operator's name."""
        return self.head.name

    @property
    def family(self) -> str:
        """The head's family: depth or breadth."""
        return self.head.family

    def refusal(self, parent: Instruction) -> str | None:
        """Why it is not for `parent`: it was written for documents, or for what is none."""
        if ("document" if parent.is_document else "instruction") in self.parents:
            return None
        return "the parent is a document" if parent.is_document else "the parent is no document"

    def messages(self, parent: Instruction, style: Style) -> tuple[dict[str, str], ...]:
        """The chat that asks for an evolution of `parent`, last turn the user's."""
        head, examples = self.head, self.head.examples
        if style == "plain" or examples is None:
            system, template = head.system, self.body
            shown = [(pair, _marked(pair)) for pair in head.demonstrations]
        else:
            system, template = examples.system, examples.user
            shown = [(pair, examples.reply(pair)) for pair in nearest(examples.pairs, parent, examples.show)]
        chat = [_turn("system", system)] if system else []
        for pair, reply in shown:
            chat += [_turn("user", self._fill(template, pair)), _turn("assistant", reply)]
        return (*chat, _turn("user", self._fill(template, parent)))

    def _fill(self, template: str, task: Instruction | WorkedExample) -> str:
        if isinstance(task, WorkedExample):
            values = {"instruction": task.instruction, "input": task.input, "document": task.document}
        elif task.is_document:
            values = {"instruction": "", "input": "", "document": task.input}
        else:
            values = {"instruction": task.instruction, "input": task.input, "document": ""}
        return render_prompt(template, values, str(self.path))


def _marked(pair: WorkedExample) -> str:
    text = f"<instruction>{pair.evolved}</instruction>"
    return f"{text}\n<input>\n{pair.evolved_input}\n</input>" if pair.evolved_input else text


def nearest(pairs: Iterable[WorkedExample], parent: Instruction, count: int) -> list[WorkedExample]:
    """The `count` examples to show for `parent`: those of its form (question or order, with an input or without) last.

    Among equals the parent's text decides, so that different parents see different examples: a tiny model
    imitates the last ones closely, and one order for all would give one pattern for all.
    """
    form = _form(parent.instruction, parent.input)

    def rank(pair: WorkedExample) -> tuple[int, str]:
        alike = sum(map(bool.__eq__, _form(pair.instruction, pair.input), form))
        return alike, content_id(parent.instruction or parent.input, pair.instruction or pair.document)

    return sorted(pairs, key=rank)[-count:]


def _form(instruction: str, input: str) -> tuple[bool, bool]:
    first = instruction.split(maxsplit=1)[:1]
    question = instruction.rstrip().endswith("?") or bool(first and first[0].lower() in QUESTION_WORDS)
    return question, bool(input.strip())


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def load_prompt_file(path: Path) -> PromptFile:
    """Read one prompt file.

    Raises:
        ConfigError: it is unreadable, or not a valid prompt file; names the file and the key.
    """
    found = front_matter(path)
    try:
        head = PromptHead.model_validate(found.head)
    except ValidationError as error:
        raise ConfigError(f"{path}: {'; '.join(_complaints(error))}") from error
    used = _check_template(found.body, f"{path}: body")
    if head.examples is not None:
        other = _check_template(head.examples.user, f"{path}: examples.user")
        if other != used:
            raise ConfigError(f"{path}: examples.user: found {_listed(other)}, expected {_listed(used)} as in the body")
        if "document" in used and head.examples.writes != "instruction":
            raise ConfigError(f"{path}: examples.writes: {head.examples.writes}: a document has nothing to add to")
    _check_parents(head, used, path)
    return PromptFile(head=head, body=found.body, prompt_hash=found.prompt_hash, path=path, parents=used)


def _check_parents(head: PromptHead, used: frozenset[str], path: Path) -> None:
    for key, pairs in (
        ("demonstrations", head.demonstrations),
        ("examples.pairs", head.examples.pairs if head.examples is not None else ()),
    ):
        for number, pair in enumerate(pairs, 1):
            kind = "document" if pair.document else "instruction"
            if kind not in used:
                raise ConfigError(f"{path}: {key}, number {number}: found `{kind}`, expected {_listed(used)}")


def _listed(kinds: frozenset[str]) -> str:
    return " and ".join(f"`{kind}`" for kind in sorted(kinds, reverse=True))


def load_prompt_dir(path: Path) -> list[PromptFile]:
    """Every `*.md` of a folder but README.md, sorted by name.

    Raises:
        ConfigError: no such folder, a broken file, or two files with one operator's name.
    """
    if not os.path.isdir(path):  # unlike Path.is_dir, it raises for no path
        found_instead = "a file" if os.path.exists(path) else "nothing"
        raise ConfigError(f"{path}: expected a folder of prompt files, found {found_instead}")
    found: dict[str, PromptFile] = {}
    for file in sorted(path.glob("*.md")):
        if file.name == "README.md":
            continue
        prompt = load_prompt_file(file)
        if prompt.name in found:
            raise ConfigError(f"{file}: name: {prompt.name!r} is taken by {found[prompt.name].path}")
        found[prompt.name] = prompt
    return sorted(found.values(), key=lambda prompt: prompt.name)


def _complaints(error: ValidationError) -> list[str]:
    return [
        f"{'.'.join(map(str, item['loc'])) or 'front matter'}: {item['msg'].removeprefix('Value error, ')}"
        for item in error.errors()
    ]


def _check_template(source: str, where: str) -> frozenset[str]:
    """Which parents a template is for: "instruction", "document" or both."""
    trials = [("Name three trees.", "", ""), ("Name three trees.", "oak, beech", ""), ("", "", "The oak is a tree.")]
    for instruction, input, document in trials:
        used = check_prompt(source, {"instruction": instruction, "input": input, "document": document}, where)
    if unknown := sorted(used - VARIABLES):
        raise ConfigError(f"{where}: found {', '.join(unknown)}; expected only {', '.join(sorted(VARIABLES))}")
    kinds = used & {"instruction", "document"}
    if not kinds:
        raise ConfigError(f"{where}: expected {{{{ instruction }}}} or {{{{ document }}}} somewhere in it")
    return frozenset(kinds)
