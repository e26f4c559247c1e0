"""The command line: exit codes, where output goes, and messages that tell a user what to mend."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from PIL import Image

from evoagent.cli.app import main
from evoagent.errors import RequestError
from evoagent.models.requests import GenerateRequest
from evoagent.testing import Script


class Result(NamedTuple):
    code: int
    out: str
    err: str


Cli = Callable[..., Result]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """Runs one command in this process, in an empty folder, without a terminal."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> Result:
        monkeypatch.setattr(sys, "argv", ["evoagent", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Path]:
    """Writes a scripted configuration with some keys changed."""

    def write(text: str = '{"instruction": "Say hello.", "output": "Hello."}\n' * 5, **changes: Any) -> Path:
        (tmp_path / "seeds.jsonl").write_text(text)
        values: dict[str, Any] = {
            "name": "toy",
            "seeds": {"path": "seeds.jsonl"},
            "models": {"evolver": {"engine": "scripted", "model": "toy", "sampling": {"temperature": 0.7}}},
            "evolver": {"operators": ["constraints"], "style": "plain"},
            "critic": {"scorers": ["length"]},
            "stop": {"rounds": 1},
        }
        values |= changes
        path = tmp_path / "toy.yaml"
        path.write_text(yaml.safe_dump(values, sort_keys=False))
        return path

    return write


class Refuses(Script):
    """As a server that answers every request with status 400."""

    def generate(self, request: GenerateRequest) -> str:
        raise RequestError(f"the server answered 400: {'no such template' if request.seed % 5 else 'too long'}")


def test_a_run_of_which_every_request_is_refused_has_failed(cli: Cli, config: Callable[..., Path]) -> None:
    seeds = "".join(json.dumps({"instruction": f"Say {n}.", "output": f"{n}."}) + "\n" for n in range(20))
    options = {"script": f"{__name__}:Refuses"}
    role = {"engine": "scripted", "model": "toy", "options": options, "sampling": {"temperature": 0.7}}
    path = config(seeds, models={"evolver": role})
    result = cli("run", path, "--out", "out", "--json")
    assert result.code == 1
    summary = json.loads(result.out)
    assert (summary["candidates"], summary["survivors"], summary["rejected"]) == (20, 0, {"error": 20})
    last = result.err.splitlines()[-1]
    assert last.startswith("error: no survivors: 20 of 20 candidates failed, ")
    assert last.endswith("with: operator `constraints`: RequestError: the server answered 400: no such template")


def test_a_run_prints_its_summary_and_the_next_command(cli: Cli, config: Callable[..., Path]) -> None:
    result = cli("run", config(), "--out", "out")
    assert result.code == 0
    assert "candidates  5" in result.out
    assert result.out.rstrip().splitlines()[-1] == "next        evoagent lineage out --row 1"
    assert "round 1" in result.err
    assert "round 1" not in result.out


def test_json_is_one_document_on_standard_output(cli: Cli, config: Callable[..., Path]) -> None:
    result = cli("run", config(), "--json")
    summary = json.loads(result.out)
    assert list(summary) == [
        *("run", "rounds", "candidates", "survivors", "rejected", "tokens", "requests", "seconds", "stop_reason"),
    ]
    assert set(summary["tokens"]["evolver"]) == {"prompt", "completion"}
    assert set(summary["requests"]) == {"sent", "cached", "retried"}


def test_the_options_of_run(cli: Cli, config: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("question,answer\nWho are you?,Me\nAnd why?,So\nReally?,Yes\n")
    arguments = ("--seeds", "other.csv", "--limit", "2", "--rounds", "2", "--model", "another")
    result = cli("run", config(), "--out", "out", *arguments, "--set", "evolver.samples=3", "--json")
    assert result.code == 0, result.err
    summary = json.loads(result.out)
    assert summary["rounds"] == 2
    assert summary["candidates"] >= 12, "two seeds, three samples, two rounds"
    rows = [json.loads(line) for line in (tmp_path / "out/dataset/train.jsonl").read_text().splitlines()]
    assert {row["model"] for row in rows} == {"another:scripted"}


def test_a_dry_run_writes_nothing(cli: Cli, config: Callable[..., Path], tmp_path: Path) -> None:
    result = cli("run", config(), "--out", "out", "--dry-run", "--json")
    plan = json.loads(result.out)
    assert (plan["seeds"], plan["candidates_per_round"]) == (5, 5)
    assert not (tmp_path / "out").exists()


BAD_CONFIGS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"evolverr": {}}, "did you mean `evolver`?"),
    "misspelt operator": ({"evolver": {"operators": ["constrains"]}}, "constraints"),
    "misspelt scorer": ({"critic": {"scorers": ["icifd"]}}, "ic_ifd"),
    "unknown engine": ({"models": {"evolver": {"engine": "vlmm", "model": "x"}}}, "vllm"),
    "negative count": ({"stop": {"rounds": -1}}, "stop.rounds"),
    "no bound": ({"stop": {"rounds": None}}, "at least one bound"),
    "parameter of a rule": ({"eliminator": {"rules": [{"near_duplicate": {"max_sim": 1}}]}}, "max_similarity"),
    "role in a circle": (
        {"models": {"evolver": {"engine": "scripted", "model": "x"}, "judge": "scorer", "scorer": "judge"}},
        "circle",
    ),
    "rule without its model": ({"eliminator": {"rules": ["drift"]}}, "embedder"),
    "missing model": ({"models": {"evolver": {"engine": "transformers", "model": "./nowhere"}}}, "nowhere"),
    "missing seeds": ({"seeds": {"path": "sedes.jsonl"}}, "seeds.jsonl"),
}


@pytest.mark.parametrize(("changes", "fragment"), BAD_CONFIGS.values(), ids=list(BAD_CONFIGS))
def test_a_wrong_configuration_is_one_clear_message(
    cli: Cli, config: Callable[..., Path], tmp_path: Path, changes: dict[str, Any], fragment: str
) -> None:
    result = cli("run", config(**changes), "--out", "out")
    assert result.code == 2
    assert fragment in result.err
    assert "Traceback" not in result.err
    assert result.out == ""
    assert not (tmp_path / "out").exists(), "nothing half-made is left"


BAD_SEEDS = {
    "empty": ("", "is empty"),
    "no column": ('{"title": "x"}\n', "title"),
    "broken JSON": ('{"instruction": \n' * 3, "seeds.jsonl"),
    "mostly broken": ('{"instruction": "Say hello."}\n' + "oops\n" * 4, "4 of 5"),
}


@pytest.mark.parametrize(("seeds", "fragment"), BAD_SEEDS.values(), ids=list(BAD_SEEDS))
def test_wrong_seeds_are_one_clear_message(
    cli: Cli, config: Callable[..., Path], tmp_path: Path, seeds: str, fragment: str
) -> None:
    result = cli("run", config(text=seeds), "--out", "out")
    assert result.code == 2, result.err
    assert fragment in result.err
    assert not (tmp_path / "out").exists()


def test_broken_parquet_and_yaml(cli: Cli, config: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "seeds.parquet").write_bytes(b"PAR1 and then nothing")
    result = cli("run", config(), "--seeds", "seeds.parquet")
    assert result.code == 2
    assert "seeds.parquet" in result.err
    (tmp_path / "broken.yaml").write_text("seeds: {path: x\nmodels: [\n")
    result = cli("run", "broken.yaml")
    assert result.code == 2
    assert "broken.yaml:2" in result.err
    assert not (tmp_path / "runs").exists()


def test_a_missing_config_names_the_scenarios(cli: Cli) -> None:
    result = cli("run", "quikstart")
    assert result.code == 2
    assert "quickstart" in result.err


def test_a_ledger_of_another_schema_is_refused(cli: Cli, config: Callable[..., Path], tmp_path: Path) -> None:
    import sqlite3

    path = config()
    assert cli("run", path, "--out", "out").code == 0
    connection = sqlite3.connect(tmp_path / "out" / "ledger.db")
    connection.execute("update meta set value = '99' where key = 'schema_version'")
    connection.commit()
    connection.close()
    result = cli("run", path, "--out", "out")
    assert result.code == 1
    assert "found a ledger of schema version 99, expected 3" in result.err


def test_an_older_ledger_is_brought_up_to_date(cli: Cli, config: Callable[..., Path], tmp_path: Path) -> None:
    import sqlite3

    path = config()
    assert cli("run", path, "--out", "out").code == 0
    before = (tmp_path / "out" / "dataset" / "train.jsonl").read_bytes()
    connection = sqlite3.connect(tmp_path / "out" / "ledger.db")
    connection.executescript(
        """
        drop table figures;
        drop table reviews;
        alter table runs drop column versions;
            alter table runs drop column admitted;
        alter table candidates rename column version to prompt_hash;
        alter table candidates drop column data;
        alter table instructions drop column data;
        alter table candidates drop column stage;
        alter table instructions drop column stage;
        update meta set value = '1' where key = 'schema_version';
        """
    )
    connection.close()
    result = cli("run", path, "--out", "out", "--json")
    assert result.code == 0, result.err
    assert (tmp_path / "out" / "dataset" / "train.jsonl").read_bytes() == before
    connection = sqlite3.connect(tmp_path / "out" / "ledger.db")
    tables = {name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")}
    assert {"figures", "reviews"} <= tables
    connection.close()


def test_export_and_lineage(cli: Cli, config: Callable[..., Path], tmp_path: Path) -> None:
    assert cli("run", config(), "--out", "out").code == 0
    for format in ("alpaca", "sharegpt", "messages", "parquet"):
        result = cli("export", "out", "--format", format)
        assert result.code == 0, result.err
        assert Path(result.out.strip()).stat().st_size > 0
    assert set(json.loads((tmp_path / "out/dataset/dataset_info.json").read_text())) >= {"alpaca", "sharegpt"}
    result = cli("export", "out", "--format", "alpacca")
    assert result.code == 2
    assert "alpaca" in result.err
    found = json.loads(cli("lineage", "out", "--row", "1", "--json").out)
    assert found["seed"]["instruction"] == "Say hello."
    assert cli("lineage", "out", found["id"][:8]).out.startswith("seed ")
    assert cli("lineage", "elsewhere", "x").code == 2
    assert cli("lineage", "out", "--row", "999").code == 2


def test_score_keeps_columns_order_and_reasons(cli: Cli, tmp_path: Path) -> None:
    rows = [
        {"instruction": "Name three rivers.", "output": "Rhine, Nile, Amazon.", "source": "a"},
        {"instruction": "Name a colour.", "output": "", "source": "b"},
        {"instruction": "", "output": "nothing asked", "source": "c"},
        {"instruction": "Count to four.", "output": "One two three four.", "source": "d"},
    ]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ("--scorer", "ic_ifd", "--scorer", "length", "--engine", "scripted", "--model", "toy", "--out", "s.jsonl")
    result = cli("score", "data.jsonl", *options, "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["requests"]["sent"] == 4, "two passes a row"
    scored = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert [{k: row[k] for k in rows[0]} for row in scored] == rows
    assert [set(row["scores"]) for row in scored] == [{"ic_ifd", "length"}] * 4
    assert scored[0]["scores"]["ic_ifd"] > 0
    assert "score_reasons" not in scored[0]
    assert scored[1]["scores"]["ic_ifd"] is None
    assert scored[1]["score_reasons"]["ic_ifd"]
    assert scored[1]["scores"]["length"] == 3
    assert scored[2]["scores"] == {"ic_ifd": None, "length": None}
    again = cli("score", "data.jsonl", *options, "--json")
    assert json.loads(again.out)["requests"] == {"sent": 0, "cached": 4}
    assert cli("score", "data.jsonl", "--scorer", "ic_idf").code == 2
    assert cli("score", "nowhere.jsonl", "--scorer", "length").code == 2


def test_init_gives_a_project_that_validates(cli: Cli, tmp_path: Path) -> None:
    assert cli("init", "project").code == 0
    assert cli("validate", tmp_path / "project" / "config.yaml").code == 0
    result = cli("init", "project")
    assert result.code == 2
    assert "project" in result.err


def test_graph_shows_the_loop(cli: Cli) -> None:
    mermaid = cli("graph", "--mermaid").out
    for edge in ("evolver --> critic", "critic --> eliminator", "eliminator -.-> evolver", "eliminator -.-> finish"):
        assert edge in mermaid
    assert "eliminator" in cli("graph").out


def test_help_and_listing_import_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['evoagent', 'plugins', 'list', '--json']\n"
        "from evoagent.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'vllm', 'transformers', 'langgraph', 'sentence_transformers', 'sklearn'}\n"
        "heavy &= set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert process.returncode == 0, process.stderr
    listed = json.loads(process.stdout)
    assert {"name", "kind", "distribution", "version", "status", "summary"} == set(listed[0])
    assert all(item["status"] == "ok" for item in listed)


def test_review_at_the_terminal(
    cli: Cli, config: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = "".join(json.dumps({"instruction": f"Name thing {n}.", "output": "It."}) + "\n" for n in range(5))
    path = config(seeds)
    lines = ["?\n", "keep\n", "r\n", "too\x1b[2J dull\n", "e\n", "Name two things that rhyme.\n", "p\n"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(lines)))
    result = cli("run", path, "--out", "out", "--review")
    assert result.code == 130, "standard input ends before the fifth candidate"
    assert "round 1, 5 of 5" in result.err
    assert "run the same command again" in result.err
    monkeypatch.setattr(sys, "stdin", io.StringIO("k\n"))
    result = cli("run", path, "--out", "out", "--review", "--json")
    assert result.code == 0, result.err
    assert "round 1, 5 of 5" in result.err
    assert "round 1, 4 of 5" not in result.err, "what is decided is not asked again"
    summary = json.loads(result.out)
    assert (summary["candidates"], summary["survivors"], summary["rejected"]) == (6, 4, {"review": 2})
    rows = [json.loads(line) for line in (tmp_path / "out" / "dataset" / "train.jsonl").read_text().splitlines()]
    assert "Name two things that rhyme." in [row["instruction"] for row in rows]


def test_graph_as_a_picture(cli: Cli, tmp_path: Path) -> None:
    result = cli("graph", "--png", "graph.png")
    assert (result.code, result.out) == (0, "graph.png\n")
    with Image.open(tmp_path / "graph.png") as picture:
        colours = picture.convert("RGB").getcolors(100_000)
        assert picture.size[1] > 2 * picture.size[0], "seven boxes, one below the other"
    assert colours is not None
    assert len(colours) > 4, "boxes, lines and letters"
    assert cli("graph", "--png", "nowhere/graph.png").code == 2
    assert cli("graph", "--png", "graph.png", "--mermaid").code == 2
    assert "eliminator -.-> evolver" in cli("graph", "--mermaid").out
