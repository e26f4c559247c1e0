"""The way of a plugin's author: write a package, build it, install it, test it, check it, run it. With real pip."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from evoagent.scaffold.package import KINDS, new_package

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
CLI = [sys.executable, "-m", "evoagent"]


class Ended(NamedTuple):
    code: int
    out: str
    err: str


def call(command: list[str | Path], folder: Path, site: Path | None = None, **variables: str) -> Ended:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("EVOAGENT_", "PYTEST_"))}
    environment |= {"OMP_WAIT_POLICY": "PASSIVE", **variables}
    if site is not None:
        environment["PYTHONPATH"] = str(site)
    ended = subprocess.run(
        list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True, timeout=240
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def done(command: list[str | Path], folder: Path, site: Path | None = None) -> str:
    ended = call(command, folder, site)
    assert ended.code == 0, f"{command}\n{ended.out}\n{ended.err}"
    return ended.out


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_package_is_built_installed_tested_checked_and_run(kind: str, tmp_path: Path) -> None:
    name, folder, site = "tide-tables", tmp_path / "evoagent-tide-tables", tmp_path / "site"
    new = call([*CLI, "plugins", "new", name, "--kind", kind], tmp_path)
    assert new.code == 0, new.err
    assert new.err.startswith("Next: cd evoagent-tide-tables && pip install -e . && evoagent run quickstart --set")

    wheels = tmp_path / "wheels"
    done([*PIP, "wheel", "--no-deps", "--no-index", "--no-build-isolation", "-w", wheels, folder], tmp_path)
    done([*PIP, "install", "--no-deps", "--no-index", "--target", site, next(wheels.glob("*.whl"))], tmp_path)

    pytest_run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "tests"]
    assert " passed" in done([*pytest_run, "-W", "error"], folder, site)

    records = json.loads(done([*CLI, "plugins", "list", "--json"], tmp_path, site))
    assert [record for record in records if record["distribution"] == "evoagent-tide-tables"] == [
        {
            **{"name": name, "kind": kind, "distribution": "evoagent-tide-tables", "version": "0.1.0"},
            **{"status": "ok", "summary": KINDS[kind].summary},
        }
    ]
    shown = json.loads(done([*CLI, "plugins", "show", name, "--json"], tmp_path, site))
    assert shown[0]["kind"] == kind

    found = json.loads(done([*CLI, "plugins", "check", "evoagent-tide-tables", "--json"], tmp_path, site))
    assert {"imports", "hooks", "factory"} <= {finding["what"] for finding in found}
    assert {finding["severity"] for finding in found} - ({"note"} if kind == "engine" else set()) == {"ok"}

    summary, ledger = run_with(kind, name, tmp_path, folder, site)
    assert summary["candidates"] == 6
    assert ledger == USED[kind]


USED: dict[str, Any] = {
    "operator": {"operator": "tide-tables", "stated": True},
    "scorer": {"scored": True},
    "rule": {"rejected": {"tide-tables": 6}},
    "selector": {"rejected": {"selector:tide-tables": 5}},
    "engine": {"answered": True},
}


def run_with(kind: str, name: str, tmp_path: Path, folder: Path, site: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """A scripted run that uses the plugin, and what it left that only the plugin can have made."""
    (tmp_path / "script.py").write_text(
        "from evoagent.testing import Script\n\n\nclass Reader(Script):\n    def generate(self, request):\n"
        "        return 'Write the answer for a sailor. Why? How? When?'\n"
    )
    rows = [{"instruction": f"Describe the tide number {number}.", "output": "High."} for number in range(6)]
    (tmp_path / "seeds.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config: dict[str, Any] = {
        "name": "toy",
        "seeds": {"path": "seeds.jsonl"},
        "models": {"evolver": {"engine": "scripted", "model": "toy", "options": {"script": "script:Reader"}}},
        "evolver": {"operators": ["constraints"], "style": "plain"},
        "stop": {"rounds": 1},
    }
    match kind:
        case "operator":
            config["evolver"]["operators"] = [name]
        case "scorer":
            config["critic"] = {"scorers": [{name: {"given_instruction": False}}]}
        case "rule":
            config["eliminator"] = {"rules": [name]}
        case "selector":
            config["eliminator"] = {"selector": {name: {"per_operator": 1}}}
        case "engine":
            config["models"]["responder"] = {"engine": name, "model": str(folder / "answers.jsonl")}
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(config))
    path = f"{site}{os.pathsep}{tmp_path}"
    summary = json.loads(done([*CLI, "run", "toy.yaml", "--out", "out", "--json"], tmp_path, Path(path)))
    lines = [json.loads(line) for line in (tmp_path / "out/dataset/train.jsonl").read_text().splitlines()]
    first: dict[str, Any] = lines[0] if lines else {}
    match kind:
        case "operator":
            used = {"operator": first["operator"], "stated": "for a sailor" in first["instruction"]}
        case "scorer":
            used = {"scored": all(row["scores"][name] > 0 for row in lines)}
        case "rule" | "selector":
            used = {"rejected": summary["rejected"]}
        case _:
            used = {"answered": first["output"] in (folder / "answers.jsonl").read_text()}
    return summary, used


def test_what_is_written_passes_a_strict_type_checker(tmp_path: Path) -> None:
    folders = [new_package(f"tides-{kind}", kind, tmp_path / kind, [])[0] for kind in KINDS]
    cache = (
        Path(__file__).parents[2] / ".mypy_cache" / "authors"
    )  # what evoagent itself is made of takes most of the time
    done([sys.executable, "-m", "mypy", "--strict", "--cache-dir", cache, *folders], tmp_path)


def test_our_own_plugins_pass_the_check(tmp_path: Path) -> None:
    found = json.loads(done([*CLI, "plugins", "check", "evoagent", "--json"], tmp_path))
    assert [finding for finding in found if finding["severity"] == "error"] == []
    assert len({finding["where"] for finding in found}) > 30
    assert {finding["what"] for finding in found if finding["severity"] == "note"} <= {"answers", "needs"}


BAD = {
    "a heavy import": (
        """
import scipy
class Op(Operator):
    async def evolve(self, parent, models):
        return Evolution(parent.instruction + " Now.")
""",
        "imports",
        "importing it imports scipy",
    ),
    "chatter on standard output": (
        """
print("hello")
class Op(Operator):
    async def evolve(self, parent, models):
        print(parent.instruction)
        return "rubbish"
""",
        "hostile text",
        "expected an Evolution",
    ),
    "an import that fails": ("import no_such_module_here\n", "imports", "No module named 'no_such_module_here'"),
}
HEAD = "from evoagent import Evolution, Operator, hookimpl\n"
TAIL = """
@hookimpl
def evoagent_operators():
    Op.name, Op.summary = "bad", "bad"
    yield Op
"""


@pytest.mark.parametrize("name", BAD)
def test_the_command_finds(name: str, tmp_path: Path) -> None:
    code, what, message = BAD[name]
    (tmp_path / "bad.py").write_text(HEAD + code + TAIL)
    ended = call([*CLI, "plugins", "check", "./bad.py", "--timeout", "3", "--json"], tmp_path)
    assert ended.code == 1
    failed = [item for item in json.loads(ended.out) if item["severity"] == "error"]
    assert any(item["what"] == what and message in item["message"] for item in failed), ended.out


def test_the_check_prints_a_line_each_and_finds_modules_and_folders(tmp_path: Path) -> None:
    code = "class Op(Operator):\n    async def evolve(self, parent, models):\n        return Evolution('Do it now.')\n"
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "__init__.py").write_text(HEAD + code + TAIL)
    for package in ("good", "./good"):
        ended = call([*CLI, "plugins", "check", package], tmp_path)
        assert ended.code == 0, ended.out
        assert "ok      determinism     operator `bad`" in ended.out
        assert "checks, 0 failed" in ended.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "no-such-package"], "found no distribution with plugins, no module and no folder"),
        (["check", "./nothing"], "found nothing, expected the folder of a package"),
        (["check", "."], "holds neither a pyproject.toml nor an __init__.py"),
        (["check", "evoagent", "--set", "length=1"], "expected NAME.KEY=VALUE"),
        (["show", "constrants"], "did you mean `constraints`?"),
        (["new", "constraints"], "operator `constraints` exists already"),
        (["new", "Bad Name"], "expected a lower-case letter"),
        (["new", "tides", "--out", "."], "expected a new or empty folder"),
        (["new", "tides", "--kind", "planet"], "planet"),
    ],
)
def test_wrong_input_ends_with_two_and_leaves_nothing(arguments: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    ended = call([*CLI, "plugins", *arguments], tmp_path)
    assert ended.code == 2
    assert message in ended.err
    assert ended.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_show_tells_types_defaults_and_descriptions(tmp_path: Path) -> None:
    text = done([*CLI, "plugins", "show", "top"], tmp_path)
    assert "selector top" in text
    assert "  share: number > 0 and ≤ 1 or null; default null\n      This share of all candidates" in text
    assert 'direction: one of descending, ascending; default "descending"' in text
    assert "by: text, at least 1 character; required" in text
    described = json.loads(done([*CLI, "plugins", "show", "top", "--json"], tmp_path))[0]
    assert described["schema"]["properties"]["count"]
    assert described["parameters"][0] == {
        **{"name": "by", "type": "text, at least 1 character", "required": True, "default": None},
        "description": "The score that decides.",
    }
    engine = done([*CLI, "plugins", "show", "vllm"], tmp_path)
    assert "max_model_len: integer ≥ 16 or null; default null\n      longest prompt with its answer" in engine


def test_show_tells_all_plugins_of_a_name_the_broken_and_the_projects_own(tmp_path: Path) -> None:
    site = tmp_path / "site"
    for module, code in {
        "evo_length": "class Op(Operator):\n    async def evolve(self, parent, models): ...\n"
        + TAIL.replace('"bad"', '"length"', 1),
        "evo_gone": "import no_such_module_here\n",
    }.items():
        site.mkdir(exist_ok=True)
        (site / f"{module}.py").write_text(HEAD + code)
        info = site / f"{module}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.5\n")
        (info / "entry_points.txt").write_text(f"[evoagent]\n{module} = {module}\n")
    both = json.loads(done([*CLI, "plugins", "show", "length", "--json"], tmp_path, site))
    assert [(item["kind"], item["distribution"]) for item in both] == [
        ("operator", "evo_length"),
        ("scorer", "evoagent"),
    ]
    assert both[0]["family"] == "depth"
    broken = done([*CLI, "plugins", "show", "evo_gone"], tmp_path, site)
    assert "broken      does not import: ModuleNotFoundError" in broken

    done([*CLI, "init", "project"], tmp_path)
    own = done([*CLI, "plugins", "show", "my-constraints", "--config", "project/config.yaml"], tmp_path)
    assert own.startswith("operator my-constraints")


def test_listing_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['evoagent', 'plugins', 'list', '--json']\n"
        "from evoagent.cli.app import main\n"
        "main()\n"
        "heavy = {'torch', 'vllm', 'transformers', 'sentence_transformers', 'langgraph', 'datasets', 'sqlalchemy'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)))"
    )
    ended = call([sys.executable, "-c", code], tmp_path)
    assert ended.err == ""
    assert json.loads(ended.out)
