"""evoagent init: a project to start from."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from evoagent.cli.terminal import tell
from evoagent.config.resources import configs_dir, prompts_dir
from evoagent.errors import EvoAgentError
from evoagent.scaffold.folder import write_folder

OPERATOR = "my-constraints"
"""The example operator: a copy of a shipped prompt under a name of its own."""

_README = """\
# {name}

Evolves the instructions in `seeds/seeds.jsonl` with the models that `config.yaml` names.

    evoagent validate config.yaml   # checks the configuration
    evoagent run config.yaml        # writes runs/{name}/dataset

- `config.yaml`: every key is commented.
- `seeds/seeds.jsonl`: a row an instruction, with its `input` and `output`. Put your own here.
- `langgraph.json`: with `pip install "evoagent[studio]"`, `langgraph dev` serves the graph to LangGraph Studio; the
  input is `{{"config": "config.yaml"}}`.
- `prompts/`: each file is an operator; name it under `evolver.operators`. `{operator}.md` is one to change.
"""


_STUDIO = """\
{
  "dependencies": ["."],
  "graphs": {"evoagent": "evoagent.studio.factory:graph"},
  "http": {"app": "evoagent.studio.http:app"}
}
"""


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.", envvar="EVOAGENT_INIT_DIR")],
) -> None:
    """Write a project to start from: configuration, prompts, seeds."""
    write_project(folder)
    tell(f"Next: cd {shlex.quote(str(folder))} && evoagent run config.yaml")


def write_project(folder: Path) -> None:
    """Write the project's files into `folder`: all of them, or none.

    Raises:
        UserError: `folder` is a file, or holds something.
        EvoAgentError: it cannot be written.
    """
    write_folder(folder, lambda path: project_files(_project_name(path.name)))


def project_files(name: str) -> Mapping[str, str]:
    """The content of a new project's files, by path."""
    operator = (prompts_dir() / "constraints.md").read_text(encoding="utf-8")
    return {
        "config.yaml": _config(name),
        f"prompts/{OPERATOR}.md": _replaced(operator, "name: constraints", f"name: {OPERATOR}"),
        "seeds/seeds.jsonl": (configs_dir() / "seeds" / "quickstart.jsonl").read_text(encoding="utf-8"),
        "langgraph.json": _STUDIO,
        ".gitignore": "runs/\n.langgraph_api/\n",
        "README.md": _README.format(name=name, operator=OPERATOR),
    }


def _config(name: str) -> str:
    text = (configs_dir() / "quickstart.yaml").read_text(encoding="utf-8")
    text = text[text.index("\nname:") :].lstrip()  # what stands before it speaks of the scenario
    for shipped, own in (
        ("name: quickstart", f'name: "{name}"'),
        ("path: seeds/quickstart.jsonl", "path: seeds/seeds.jsonl"),
        ("prompts: null", "prompts: prompts"),
        ("    - constraints", f"    - constraints\n    - {OPERATOR}"),
    ):
        text = _replaced(text, shipped, own)
    return f"# `evoagent validate config.yaml` checks this file, `evoagent run config.yaml` runs it.\n\n{text}"


def _replaced(text: str, old: str, new: str) -> str:
    # A shipped file that no longer says `old` would give a project that runs something else, unnoticed.
    if text.count(f"{old}\n") + text.count(f"{old} ") != 1:
        raise EvoAgentError(f"the shipped files are not as expected: found no single `{old}`")
    return text.replace(old, new, 1)


def _project_name(folder: str) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder).strip("-._")[:80]
    return name or "project"
