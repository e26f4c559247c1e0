"""What is written loads anywhere with the rows that went in, and a failed write leaves the old files."""

from __future__ import annotations

import json
import math
import resource
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evoagent.config.model import SeedsConfig
from evoagent.datasets.files import read_rows
from evoagent.datasets.replacing import replacing
from evoagent.datasets.seeds import read_seeds
from evoagent.datasets.writer import COLUMNS, write_dataset
from evoagent.errors import EvoAgentError, UserError
from evoagent.reports.card import CardFacts, ModelFact, render_card

FACTS = CardFacts(
    name="haiku-run",
    rounds=2,
    candidates=9,
    seeds="seeds/quickstart.jsonl",
    seed_count=48,
    seeds_licence="cc0-1.0",
    seeds_sha256="ab" * 32,
    licence="cc-by-4.0",
    language=("en",),
    rejections={"refusal": 2, "no_gain": 5},
    tried={"deepening": 6, "breadth": 3, "reasoning": 2},
    operators={"deepening": "asks for more depth", "breadth": "writes a rarer one"},
    models=(ModelFact("evolver", "smollm2-135m-instruct", "transformers", "12fd25f", "apache-2.0"),),
    version="0.1.0",
)
CARD = partial(render_card, FACTS)


def row(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"id{number}",
        "parent_ids": [f"seed{number}"],
        "seed_id": f"seed{number}",
        "round": 1,
        "operator": "deepening",
        "instruction": f"Explain {number} 🦜 عدد",
        "input": "",
        "output": "It is\na number.",
        "scores": {"ifd": number / 2, "ic_ifd": None},
        "data": None,
        "model": "smollm2-135m-instruct",
        "responder": None,
        **changes,
    }


def jsonl(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "train.jsonl").read_text(encoding="utf-8").splitlines()]


def test_both_files_hold_the_rows_that_went_in(tmp_path: Path) -> None:
    rows = [row(number) for number in range(5)]
    write_dataset(tmp_path / "new" / "dataset", iter(rows), CARD)
    folder = tmp_path / "new" / "dataset"
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "train.jsonl", "train.parquet"]
    assert jsonl(folder) == rows
    assert pq.read_table(folder / "train.parquet").to_pylist() == rows
    assert tuple(jsonl(folder)[0]) == COLUMNS


@pytest.mark.parametrize("scores", [{"ifd": 0.5, "ic_ifd": None}, {}], ids=["scores", "no scores"])
def test_the_usual_loaders_read_it(tmp_path: Path, scores: dict[str, float]) -> None:
    import datasets
    import pandas

    rows = [row(number, scores=scores or None) for number in range(3)]
    folder = tmp_path / "dataset"
    write_dataset(folder, rows, CARD)
    cache = str(tmp_path / "cache")
    loaded = {
        kind: datasets.load_dataset(kind, data_files=str(folder / name), split="train", cache_dir=cache).to_list()
        for kind, name in (("json", "train.jsonl"), ("parquet", "train.parquet"))
    }
    assert loaded["json"] == loaded["parquet"] == rows
    by_card = datasets.load_dataset(str(folder), split="train", cache_dir=cache)
    assert by_card.to_list() == rows
    frame = pandas.read_parquet(folder / "train.parquet")
    assert frame["instruction"].tolist() == [r["instruction"] for r in rows]
    assert frame["scores"].tolist() == [r["scores"] for r in rows]
    assert len(pandas.read_json(folder / "train.jsonl", lines=True)) == 3


def test_what_plugins_attach_is_json_text_in_both_files(tmp_path: Path) -> None:
    attached = [{"cases": [1, "two"]}, {"cases": {"other": "type", "eau": "é"}}, {}]
    write_dataset(tmp_path, [row(number, data=data) for number, data in enumerate(attached)], CARD)
    texts = [line["data"] for line in jsonl(tmp_path)]
    assert [json.loads(text) if text else {} for text in texts] == attached
    assert pq.read_table(tmp_path / "train.parquet")["data"].to_pylist() == texts


def test_every_row_has_every_score(tmp_path: Path) -> None:
    rows = [row(0, scores={}), row(1, scores={"b": 1}), row(2, scores={"a": math.nan, "c": math.inf})]
    write_dataset(tmp_path, rows, CARD)
    wanted = [{"a": None, "b": None, "c": None}, {"a": None, "b": 1.0, "c": None}, {"a": None, "b": None, "c": None}]
    assert [r["scores"] for r in jsonl(tmp_path)] == wanted
    assert pq.read_table(tmp_path / "train.parquet")["scores"].to_pylist() == wanted


def test_hostile_text_is_stored_on_one_line(tmp_path: Path) -> None:
    text = "a\u2028b\u2029c\x85d\x0be\x00f\r\n"
    write_dataset(tmp_path, [row(0, instruction=text, output="half \ud83d, whole \ud83e\udd9c")], CARD)
    assert len((tmp_path / "train.jsonl").read_text(encoding="utf-8").splitlines()) == 1
    assert jsonl(tmp_path)[0]["instruction"] == text
    assert jsonl(tmp_path)[0]["output"] == "half \ufffd, whole 🦜"


def test_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    for name in "ab":
        write_dataset(tmp_path / name, [row(number) for number in range(5000)], CARD)
    for name in ("train.jsonl", "train.parquet", "README.md"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_no_rows_are_a_dataset_too(tmp_path: Path) -> None:
    write_dataset(tmp_path, [], CARD)
    assert (tmp_path / "train.jsonl").read_bytes() == b""
    assert pq.read_table(tmp_path / "train.parquet").column_names == list(COLUMNS)


def test_a_failure_leaves_the_files_that_were_there(tmp_path: Path) -> None:
    write_dataset(tmp_path, [row(0)], CARD)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def broken() -> Iterator[dict[str, Any]]:
        yield row(1)
        raise EvoAgentError("the ledger went away")

    with pytest.raises(EvoAgentError, match="the ledger went away"):
        write_dataset(tmp_path, broken(), CARD)
    with pytest.raises(ValueError, match="columns that a dataset has not: colour"):
        write_dataset(tmp_path, [row(1, colour="red")], CARD)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_refusing_system_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EvoAgentError, match=r"file/dataset: cannot be written: Not a directory"):
        write_dataset(tmp_path / "file" / "dataset", [row(0)], CARD)


def test_a_full_disk_is_a_clear_error(tmp_path: Path) -> None:
    """Real writes beyond a size fail, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(EvoAgentError, match="cannot be written: File too large") as caught:
            write_dataset(tmp_path, [row(number) for number in range(100)], CARD)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_cannot_be_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be written: File name too long"), replacing(tmp_path / ("x" * 300)):
        raise AssertionError("nothing can be written there")


def test_a_link_at_the_name_beside_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with replacing(tmp_path / "out") as (first,):
        name = first.name
    (tmp_path / name).symlink_to(tmp_path / "mine")
    with replacing(tmp_path / "out") as (partial,):
        partial.write_text("new")
    assert (tmp_path / "mine").read_text() == "mine"
    assert (tmp_path / "out").read_text() == "new"


def test_the_card_says_how_it_was_made(tmp_path: Path) -> None:
    rows = [row(0), row(1, round=2), row(2, operator="breadth"), row(3, operator="breadth")]
    write_dataset(tmp_path, rows, CARD)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    _, front, body = text.split("---\n", 2)
    head = yaml.safe_load(front)
    assert head["license"] == "cc-by-4.0"
    assert head["language"] == ["en"]
    assert head["task_categories"] == ["text-generation"]
    assert head["size_categories"] == ["n<1K"]
    assert head["configs"][0]["data_files"] == [{"split": "train", "path": "train.parquet"}]
    for line in (
        "4 instructions with responses, evolved from 48 seeds in 2 rounds by local language models",
        "with evoagent 0.1.0. Of 9 candidates 7 were rejected.",
        "| evolver | smollm2-135m-instruct | transformers | 12fd25f | apache-2.0 |",
        "| deepening | asks for more depth |",
        "| deepening | 6 | 2 |\n| breadth | 3 | 2 |\n| reasoning | 2 | 0 |",
        "| 1 | 3 |\n| 2 | 1 |",
        "| no_gain | 5 |\n| refusal | 2 |",
        "| ifd | 4 | 0.75 | 0 | 1.5 |",
        "| ic_ifd | 0 |  |  |  |",
        "licence: cc0-1.0, sha256 `" + "ab" * 32 + "`.",
        'load_dataset("parquet", data_files="train.parquet", split="train")',
        *(f"| `{column}` |" for column in COLUMNS),
    ):
        assert line in body


def test_names_cannot_break_the_card(tmp_path: Path) -> None:
    card = CardFacts(
        name='a: "b"\n---\n# c',
        rounds=1,
        candidates=0,
        seeds="x|y\nz",
        seed_count=1,
        rejections={"a|b<script>": 1, r"![x](http://e) *b* `c` _d_ no\ gain": 1},
    )
    write_dataset(tmp_path, [], partial(render_card, card))
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    head = yaml.safe_load(text.split("\n---\n")[0])
    assert head["pretty_name"] == 'a: "b" --- # c'
    assert head["license"] == "unknown"
    assert "| a\\|b&lt;script> | 1 |" in text
    assert r"| !\[x\](http://e) \*b\* \`c\` \_d\_ no\\ gain | 1 |" in text
    assert "\n# c" not in text
    assert "Not stated." in text


# Any text without the surrogates and NULs that a seed may not have, and not empty.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=80)
INSTRUCTION = TEXT.filter(lambda text: bool(text.strip()))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(INSTRUCTION, TEXT, TEXT), min_size=1, max_size=6))
def test_seeds_come_back_from_a_written_dataset(tmp_path: Path, examples: list[tuple[str, str, str]]) -> None:
    first = tmp_path / "seeds.jsonl"
    keys = ("instruction", "input", "output")
    lines = (json.dumps(dict(zip(keys, example, strict=True)), ensure_ascii=False) for example in examples)
    first.write_text("".join(line + "\n" for line in lines), encoding="utf-8", newline="\n")
    seeds = read_seeds(SeedsConfig(path=str(first)), tmp_path).instructions
    assert [(s.instruction, s.input, s.output) for s in seeds] == examples

    rows = [{"id": s.id, "instruction": s.instruction, "input": s.input, "output": s.output} for s in seeds]
    write_dataset(tmp_path / "out", rows, CARD)
    for name in ("train.jsonl", "train.parquet"):
        path = tmp_path / "out" / name
        assert read_seeds(SeedsConfig(path=str(path)), tmp_path).instructions == seeds
        assert [r["id"] for _, r in read_rows(path)] == [s.id for s in seeds]
