"""A new package with one plugin: it installs, passes its own tests, and runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from evoagent.errors import UserError
from evoagent.scaffold.folder import write_folder

_NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
_MOST = 30  # characters of a name


@dataclass(frozen=True, slots=True)
class Template:
    """A kind of package.

    Attributes:
        suffix: of its class.
        about: for the README.
        key: where a configuration names the plugin; scorers and rules join those that are there.
        value: how it names it.
    """

    suffix: str
    summary: str
    about: str
    key: str
    value: str = "{name}"


KINDS: Mapping[str, Template] = {
    "operator": Template(
        "Operator",
        "says for whom the answer is written",
        "An operator of evoagent: it adds to an instruction who reads the answer, by worked examples that a model of "
        "135M parameters can follow.",
        "evolver.operators",
        "[{name}]",
    ),
    "scorer": Template(
        "Scorer",
        "how unexpected the response is, in nats a token",
        "A scorer of evoagent: the mean loss of the response under the scorer model, high where the model would not "
        "have said it.",
        "critic.scorers",
    ),
    "rule": Template(
        "Rule",
        "several questions in one",
        "A rule of evoagent: it rejects instructions that ask many things at once, for none of them is answered well.",
        "eliminator.rules",
    ),
    "selector": Template(
        "Selector",
        "at most so many survivors of each operator a round",
        "A selector of evoagent: it keeps one operator that works well from crowding out the others.",
        "eliminator.selector",
    ),
    "engine": Template(
        "Engine",
        "the recorded answer to the most similar instruction",
        "An engine of evoagent: it answers with what a file of instructions and outputs has for the most similar "
        "instruction. As a responder it is a baseline that any model should beat.",
        "models.responder",
        "{{engine: {name}, model: answers.jsonl}}",
    ),
}


def new_package(name: str, kind: str, out: Path | None, taken: Iterable[tuple[str, str]]) -> tuple[Path, str]:
    """Write a package with a plugin called `name`, and return its folder and a command that runs it.

    Args:
        kind: one of `KINDS`.
        out: a new or empty folder; by default "evoagent-NAME", below the current one.
        taken: (kind, name) of the plugins that are there already.

    Raises:
        UserError: the name is not valid, or taken, or the folder holds something. Nothing is written.
    """
    template = KINDS[kind]
    _check_name(name, kind, set(taken))
    words = {
        "name": name,
        "distribution": f"evoagent-{name.replace('_', '-')}",
        "module": f"evoagent_{name.replace('-', '_')}",
        "Class": _class_name(name, template.suffix),
        "summary": template.summary,
        "about": template.about,
        "run": f"evoagent run quickstart --set '{_setting(template, name)}' --limit 4 --rounds 1",
        "yaml": _yaml(template, name),
    }
    folder = out if out is not None else Path(words["distribution"])
    write_folder(folder, lambda path: {**_files("common", words), **_files(kind, words)})
    return folder, words["run"]


def _check_name(name: str, kind: str, taken: set[tuple[str, str]]) -> None:
    if not _NAME.fullmatch(name) or len(name) > _MOST:
        raise UserError(
            f"found the name {name!r}, expected a lower-case letter, then letters and digits, with single `-` or `_` "
            f"between them, {_MOST} characters at most"
        )
    if (kind, name) in taken:
        raise UserError(f"{kind} `{name}` exists already: `evoagent plugins show {name}`; choose another name")
    try:
        there = distribution(f"evoagent-{name}")
    except PackageNotFoundError:
        return
    raise UserError(f"{there.name} {there.version} is installed already; choose another name")


def _class_name(name: str, suffix: str) -> str:
    words = "".join(part.capitalize() for part in re.split("[-_]", name))
    return words if words.endswith(suffix) and words != suffix else f"{words}{suffix}"


def _setting(template: Template, name: str) -> str:
    """The option of `evoagent run quickstart` that has the plugin used."""
    sign = "+=" if template.key in ("critic.scorers", "eliminator.rules") else "="
    return f"{template.key}{sign}{template.value.format(name=name)}"


def _yaml(template: Template, name: str) -> str:
    section, _, key = template.key.partition(".")
    value = template.value.format(name=name)
    listed = f"\n    - {value.strip('[]')}" if key in ("operators", "scorers", "rules") else f" {value}"
    return f"{section}:\n  {key}:{listed}"


def _files(kind: str, words: Mapping[str, str]) -> dict[str, str]:
    """The files of a template; `%word%` in paths and contents stands for a word."""
    root = Path(str(resources.files("evoagent.scaffold"))) / "templates" / kind
    paths = sorted(path for path in root.rglob("*.txt") if path.is_file())
    found = {}
    for path in paths:
        target = path.relative_to(root).as_posix().removesuffix(".txt")
        found[_filled(target, words)] = _filled(path.read_text(encoding="utf-8"), words)
    return found


def _filled(text: str, words: Mapping[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(f"%{word}%", value)
    return text
