"""Every example of docs/, run as a reader would run it: files written, packages installed by pip, commands typed.

A fenced block under a paragraph that is only a name in backticks is a file of that name. Any other Python block is run
as a script, and any other YAML block is laid over the shipped scenario `quickstart` and validated. Of a console block
each line `$ …` is typed; the lines under it must be in what it prints, where "…" stands for anything.

Models answer from a script: what an example shows of a real model's words is in a block of language `text`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt

from evoagent.config.resources import configs_dir
from evoagent.testing import assert_valid_plugin

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(DOCS.glob("*.md"))
SCRIPTED = (
    " --set models.evolver.engine=scripted --set 'models.embedder={engine: scripted, model: scripted}'"
    " --set evolver.style=plain"
)
UNCHECKED = ("text", "mermaid")
_FILE = re.compile(r"`([\w./-]+)`:?")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its line in the page, and the name of the file that it is, if it is one."""

    language: str
    line: int
    text: str
    file: str = ""


def blocks(page: Path) -> Iterator[Block]:
    before = ""
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        if token.type == "fence":
            assert token.map is not None
            named = _FILE.fullmatch(before)
            yield Block(token.info.strip(), token.map[0] + 1, token.content, named[1] if named else "")
        if token.type == "inline":
            before = token.content
        elif token.type == "fence":
            before = ""


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of a console block with the lines that it must print."""
    typed, shown = "", list[str]()
    for line in text.splitlines():
        if line.startswith("$ ") or typed.endswith("\\"):
            if typed and not typed.endswith("\\"):
                yield typed, shown
                typed, shown = "", []
            typed = f"{typed[:-1]}{line.removeprefix('$ ')}"
        elif line.strip():
            shown.append(line)
    yield typed, shown


class Reader:
    """Follows one page, in a folder of its own."""

    def __init__(self, page: Path, folder: Path) -> None:
        self.page, self.project, self.site = page, folder / "project", folder / "site"
        self.project.mkdir()
        self.site.mkdir()
        self.done = 0
        self.environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.site),
            "COLUMNS": "200",
            "NO_COLOR": "1",
        }

    def follow(self) -> int:
        """Do all that the page shows; the number of blocks that were run."""
        # Parts of configurations last: they may name what is installed further down.
        for block in sorted(blocks(self.page), key=lambda block: block.language == "yaml" and not block.file):
            where = f"{self.page.name}:{block.line}"
            try:
                self._do(block)
            except AssertionError as error:
                raise AssertionError(f"{where}: {error}") from error
        return self.done

    def _do(self, block: Block) -> None:
        if block.file:
            path = self.project / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
            return
        match block.language:
            case "console":
                for command, shown in commands(block.text):
                    _expect(shown, self._type(command), command)
            case "python" if self.page.name != "hooks.md":  # tests/unit/test_docs_hooks.py has those
                (self.project / "_example.py").write_text(block.text, encoding="utf-8")
                self._type("python _example.py")
            case "yaml":
                self._validate(block.text)
            case language:
                assert language in UNCHECKED or self.page.name == "hooks.md", (
                    f"found a block of language {language!r} that is neither run nor a file"
                )
                return
        self.done += 1

    def _type(self, command: str, **environment: str) -> str:
        """Run `command` and return what it prints."""
        typed = re.sub(r"\bevoagent run quickstart", lambda run: run[0] + SCRIPTED, command)
        typed = re.sub(r"\bevoagent run [\w./-]+\.yaml", lambda run: run[0] + _scripted(self.project, run[0]), typed)
        typed = re.sub(
            r"\bpip install (?!-)",
            f"pip install --quiet --no-deps --no-index --no-build-isolation --target '{self.site}' --upgrade ",
            typed,
        )
        found = subprocess.run(
            ["bash", "-c", typed],
            cwd=self.project,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        assert found.returncode == 0, f"`{command}` ended with {found.returncode}:\n{found.stdout}"
        return found.stdout

    def _validate(self, text: str) -> None:
        """Lay a part of a configuration over `quickstart`, and check the whole."""
        whole: dict[str, Any] = yaml.safe_load((configs_dir() / "quickstart.yaml").read_text(encoding="utf-8"))
        for key, value in yaml.safe_load(text).items():
            whole[key] = {**whole[key], **value} if isinstance(value, Mapping) else value
        (self.project / "_example.yaml").write_text(yaml.safe_dump(whole), encoding="utf-8")
        self._type("evoagent validate _example.yaml", PYTHONPATH=f"{self.project}{os.pathsep}{self.site}")


def _scripted(folder: Path, command: str) -> str:
    """The overrides by which every model that the configuration of `command` names answers from a script."""
    values = yaml.safe_load((folder / command.split()[-1]).read_text(encoding="utf-8"))
    roles = [name for name, model in values["models"].items() if "engine" in model]
    plain = []
    for number in range(len(values.get("stages", ()))):
        # What a script says is no instruction, so that no rule is asked whether it is one.
        plain += [f"stages.{number}.evolver.style=plain", f"'stages.{number}.eliminator.rules=[extracted, truncated]'"]
    return "".join(f" --set {change}" for change in (*(f"models.{role}.engine=scripted" for role in roles), *plain))


def _expect(shown: list[str], printed: str, command: str) -> None:
    """Find the lines that the page shows, in their order, in what was printed."""
    lines = iter([" ".join(line.split()) for line in printed.splitlines()])
    for line in shown:
        pattern = ".*".join(re.escape(part) for part in " ".join(line.split()).split("…"))
        found = any(re.fullmatch(pattern, candidate) for candidate in lines)
        assert found, f"`{command}` does not print\n  {line}\nbut\n{printed}"


@pytest.fixture(scope="module")
def followed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[Path, Future[int]]]:
    """The pages that are asked for, two at a time: most of what they do is waiting for Python to start."""
    items: list[Any] = request.session.items
    name = test_what_a_page_shows_works.__name__
    pages = [item.callspec.params["page"] for item in items if item.originalname == name]
    with ThreadPoolExecutor(2) as pool:
        yield {page: pool.submit(Reader(page, tmp_path_factory.mktemp("docs")).follow) for page in pages}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_what_a_page_shows_works(page: Path, followed: Mapping[Path, Future[int]]) -> None:
    assert followed[page].result() > 0, f"{page.name}: nothing of it was run"


MODULES = [
    (page, block.file)
    for page in PAGES
    for block in blocks(page)
    if block.file.endswith(".py") and "@evoagent.hookimpl" in block.text and page.stem != "rules-of-the-road"
]


@pytest.mark.parametrize(("page", "file"), MODULES, ids=[file for _, file in MODULES])
def test_every_plugin_passes_the_authors_check(
    page: Path, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for block in blocks(page):
        if block.file.endswith(".py") and not block.file.startswith("test_"):
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)  # an observer writes where it is
    monkeypatch.syspath_prepend(str(tmp_path))
    assert_valid_plugin(Path(file).stem)


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: str(page.relative_to(DOCS)))
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text(encoding="utf-8")):
        there = page.parent / target if target else page
        assert there.exists(), f"{page.name}: {target} is not there"
        headings = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), re.MULTILINE)
        slugs = [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings]
        assert not anchor or anchor in slugs, f"{page.name}: {target}#{anchor} is not there"
