"""Seeds are read from every usual form, and whatever is wrong with a file is said in one message."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evoagent.config.model import SeedsConfig
from evoagent.datasets.files import BadRow, read_rows
from evoagent.datasets.forms import to_example
from evoagent.datasets.seeds import SeedBatch, read_seeds
from evoagent.errors import DataError

WANTED = [("Name a river.", "in Africa", "The Niger."), ("Say hello.", "", "Hello!")]

ALPACA = [{"instruction": i, "input": n, "output": o} for i, n, o in WANTED]


def read(path: Path, **options: Any) -> SeedBatch:
    return read_seeds(SeedsConfig(path=path.name, **options), path.parent)


def triples(batch: SeedBatch) -> list[tuple[str, str, str]]:
    return [(seed.instruction, seed.input, seed.output) for seed in batch.instructions]


def write(path: Path, rows: list[Any]) -> Path:
    """`rows` in the kind that the suffix of `path` says."""
    if path.suffix == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix in (".csv", ".tsv"):
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", ["json", "jsonl", "ndjson", "parquet", "csv", "tsv", "JSONL"])
def test_every_kind_of_file_gives_the_same_seeds(tmp_path: Path, suffix: str) -> None:
    batch = read(write(tmp_path / f"seeds.{suffix}", ALPACA))
    assert triples(batch) == WANTED
    assert (batch.total, batch.bad, batch.format) == (2, [], "alpaca")
    assert len(batch.sha256) == 64
    assert all(seed.id == seed.seed_id and seed.round == 0 and seed.operator is None for seed in batch.instructions)


def sharegpt(*turns: tuple[str, str], **more: Any) -> dict[str, Any]:
    return {"conversations": [{"from": role, "value": text} for role, text in turns], **more}


def messages(*turns: tuple[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


FORMS: dict[str, tuple[dict[str, Any], str, tuple[str, str, str]]] = {
    "self-instruct": (
        {"instruction": "Add.", "instances": [{"input": "1 2", "output": "3"}, {"input": "2 2", "output": "4"}]},
        "alpaca",
        ("Add.", "1 2", "3"),
    ),
    "self-instruct without instances": ({"instruction": "Add.", "instances": []}, "alpaca", ("Add.", "", "")),
    "sharegpt": (sharegpt(("human", "Hi"), ("gpt", "Yes?"), ("human", "More")), "sharegpt", ("Hi", "", "Yes?")),
    "sharegpt with a system turn": (
        sharegpt(("system", "Be brief."), ("human", "Hi"), ("gpt", "Yes?")),
        "sharegpt",
        ("Be brief.\n\nHi", "", "Yes?"),
    ),
    "sharegpt with a system column": (
        sharegpt(("human", "Hi"), ("gpt", "Yes?"), system="Be brief."),
        "sharegpt",
        ("Be brief.\n\nHi", "", "Yes?"),
    ),
    "sharegpt that opens with an answer": (
        sharegpt(("gpt", "Welcome"), ("human", "Hi"), ("gpt", "Yes?")),
        "sharegpt",
        ("Hi", "", "Yes?"),
    ),
    "sharegpt without an answer": (sharegpt(("human", "Hi")), "sharegpt", ("Hi", "", "")),
    "messages": (messages(("user", "Hi"), ("assistant", "Yes?")), "messages", ("Hi", "", "Yes?")),
    "messages of parts": (
        messages(("user", [{"type": "text", "text": "Hi"}]), ("assistant", "Yes?")),
        "messages",
        ("Hi", "", "Yes?"),
    ),
    "messages with a call of a tool": (messages(("user", "Hi"), ("assistant", None)), "messages", ("Hi", "", "")),
    "messages beside a prompt": (
        {"prompt": "other", **messages(("user", "Hi"), ("assistant", "Yes?"))},
        "messages",
        ("Hi", "", "Yes?"),
    ),
    "prompt and completion": ({"prompt": "Hi", "completion": "Yes?"}, "plain", ("Hi", "", "Yes?")),
    "question and answer": ({"Question": "Hi", "Answer": "Yes?"}, "plain", ("Hi", "", "Yes?")),
    "numbers as answers": ({"question": "6 × 7", "answer": 42}, "plain", ("6 × 7", "", "42")),
    "instruction and response": (
        {"instruction": "Sum up.", "context": "Long.", "response": "Short."},
        "plain",
        ("Sum up.", "Long.", "Short."),
    ),
    "instruction alone": ({"instruction": "Hi"}, "plain", ("Hi", "", "")),
    "input and output": ({"input": "Hi", "output": "Yes?"}, "plain", ("Hi", "", "Yes?")),
    "no input": ({"instruction": "Hi", "input": None, "output": float("nan")}, "alpaca", ("Hi", "", "")),
}


@pytest.mark.parametrize("case", FORMS)
def test_forms_are_recognised_by_themselves(tmp_path: Path, case: str) -> None:
    row, form, wanted = FORMS[case]
    batch = read(write(tmp_path / "seeds.jsonl", [row]))
    assert triples(batch) == [wanted]
    assert batch.format == form
    assert tuple(to_example(row)) == wanted


def test_format_and_columns_override_what_is_recognised(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"prompt": "P", "q": "Q", "a": "A", **messages(("user", "M"))}])
    assert triples(read(path)) == [("M", "", "")]
    assert triples(read(path, format="plain")) == [("P", "", "")]
    assert triples(read(path, columns={"instruction": "q", "output": "a"})) == [("Q", "", "A")]
    dialogue = write(tmp_path / "b.jsonl", [{"dialogue": sharegpt(("human", "Hi"), ("gpt", "Yes?"))["conversations"]}])
    assert triples(read(dialogue, format="sharegpt", columns={"instruction": "dialogue"})) == [("Hi", "", "Yes?")]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"data": ALPACA, "version": 2}),
        json.dumps(ALPACA, indent=2),
        "".join(json.dumps(row) + "\n" for row in ALPACA),
        "\ufeff" + json.dumps(ALPACA),
    ],
    ids=["wrapped", "indented", "jsonl by another name", "windows"],
)
def test_json_files_may_be_wrapped(tmp_path: Path, text: str) -> None:
    path = tmp_path / "seeds.json"
    path.write_text(text, encoding="utf-8")
    assert triples(read(path)) == WANTED


def test_a_json_object_may_be_a_row(tmp_path: Path) -> None:
    path = tmp_path / "seeds.json"
    path.write_text(json.dumps(messages(("user", "Hi"))))
    assert triples(read(path)) == [("Hi", "", "")]


@pytest.mark.parametrize("name", ["seeds.jsonl", "seeds.csv"])
def test_windows_line_ends_and_byte_order_mark(tmp_path: Path, name: str) -> None:
    text = write(tmp_path / name, ALPACA).read_text(encoding="utf-8")
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.replace("\r\n", "\n").replace("\n", "\r\n").encode())
    assert triples(read(tmp_path / name)) == WANTED


def test_semicolons_separate_too(tmp_path: Path) -> None:
    path = tmp_path / "seeds.csv"
    path.write_text('instruction;input;output\n"Name; a river.";in Africa;"The\nNiger."\n')
    assert triples(read(path)) == [("Name; a river.", "in Africa", "The\nNiger.")]


@pytest.mark.parametrize(
    "text",
    [
        "naïve 日本語 🦜👩‍👩‍👧",
        "שלום \u202bעולם\u202c مرحبا",
        "line\u2028separator\u0085and\u2029more",
        "e\u0301 vs é",
        "a\r\nb\tc",
    ],
)
@pytest.mark.parametrize("suffix", ["json", "jsonl", "csv", "parquet"])
def test_text_comes_through_unaltered(tmp_path: Path, suffix: str, text: str) -> None:
    rows = [{"instruction": text, "input": "", "output": text}]
    path = write(tmp_path / f"seeds.{suffix}", rows)
    if suffix == "jsonl":
        path.write_text(json.dumps(rows[0], ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")
    assert triples(read(path)) == [(text, "", text)]


BROKEN_ROWS = {
    '{"instruction": "a", ': "is not valid JSON (column 23: ",
    "[1, 2]": "is not an object",
    "[" * 100_000: "nested too deeply",
    '{"instruction": ' + "9" * 5000 + "}": "is not usable JSON",
    '{"output": "x"}': "no `instruction`",
    '{"instruction": null}': "no `instruction`",
    '{"instruction": " \\n"}': "`instruction` is empty",
    '{"instruction": 7}': "`instruction` is a number; expected text",
    '{"instruction": ["a"]}': "`instruction` is a list; expected text",
    '{"instruction": "a", "output": {}}': "`output` is an object; expected text",
    '{"instruction": "a", "output": true}': "`output` is true or false; expected text",
    '{"instruction": "%s"}' % ("a" * 100_001): "`instruction` has 100,001 characters; expected at most 100,000",
    '{"instruction": "a\\u0000"}': "`instruction` contains a NUL character",
    '{"instruction": "a", "output": "\\ud83d"}': "`output` contains a lone surrogate",
}


@pytest.mark.parametrize("line", BROKEN_ROWS, ids=list(BROKEN_ROWS.values()))
def test_a_broken_row_is_skipped_with_its_line(tmp_path: Path, line: str) -> None:
    good = [json.dumps({"instruction": f"Count to {n}.", "input": "", "output": "1"}) for n in range(12)]
    path = tmp_path / "seeds.jsonl"
    path.write_text("\n".join([*good[:3], "", line, *good[3:]]) + "\n", encoding="utf-8")
    batch = read(path)
    assert len(batch.instructions) == 12
    assert batch.total == 13
    assert [row.line for row in batch.bad] == [5]
    assert BROKEN_ROWS[line] in batch.bad[0].reason


BROKEN_TURNS = {
    "no `conversations`": {"conversations": None},
    "`conversations` is text; expected a list of turns": {"conversations": "Hi"},
    "`conversations` has no turn of the user": sharegpt(("gpt", "Hi")),
    "the user's first turn in `conversations` is empty": sharegpt(("system", "Be brief."), ("human", " ")),
    "`conversations` has a turn that is text": {"conversations": ["Hi"]},
    "`conversations` has a turn without `from` or `role`": {"conversations": [{"value": "Hi"}]},
    "`conversations` has a turn whose content is a number": {"conversations": [{"from": "human", "value": 1}]},
    "`conversations` has a part that is not text": {"conversations": [{"from": "human", "value": [{"type": "image"}]}]},
}


@pytest.mark.parametrize("reason", BROKEN_TURNS)
def test_a_broken_conversation_is_skipped(tmp_path: Path, reason: str) -> None:
    path = write(tmp_path / "seeds.jsonl", [sharegpt(("human", "Hi")), BROKEN_TURNS[reason]])
    batch = read(path, max_bad=0.5)
    assert triples(batch) == [("Hi", "", "")]
    assert batch.bad[0].line == 2
    assert batch.bad[0].reason.startswith(reason)


def test_broken_csv_rows_have_the_line_where_they_start(tmp_path: Path) -> None:
    path = tmp_path / "seeds.csv"
    path.write_text('instruction,output\n"two\nlines",b\nshort\na,b,c\n"x" y,z\nc,d\n')
    batch = read(path, max_bad=0.9)
    assert triples(batch) == [("two\nlines", "", "b"), ("c", "", "d")]
    assert [row.line for row in batch.bad] == [4, 5, 6]
    assert batch.bad[0].reason == "has 1 fields; the header has 2"
    assert batch.bad[2].reason.startswith("is not valid CSV")


def test_a_huge_line_is_skipped_and_the_next_one_read(tmp_path: Path) -> None:
    path = tmp_path / "seeds.jsonl"
    with path.open("w") as file:
        file.write('{"instruction": "' + "a" * (65 * 2**20) + '"}\n{"instruction": "short"}\n')
    batch = read(path, max_bad=0.5)
    assert triples(batch) == [("short", "", "")]
    assert batch.bad == [BadRow(1, "is longer than 67,108,864 bytes")]


GOOD_LINE = b'{"instruction": "a"}\n'

BROKEN_FILES: dict[str, tuple[str, bytes, str]] = {
    "empty": ("a.jsonl", b"", "is empty"),
    "only blank lines": ("a.jsonl", b"\n \n", "has no rows"),
    "empty array": ("a.json", b"[]", "has no rows"),
    "only a header": ("a.csv", b"instruction,output\n", "has no rows"),
    "no header": ("a.csv", b"\ninstruction,output\n", "line 1: expected a header"),
    "column twice": (
        "a.csv",
        b"instruction,instruction\na,b\n",
        "line 1: the header has the column `instruction` twice",
    ),
    "quote without end": ("a.csv", b'instruction,output\na,b\n"a,b\nc,d\n', "line 3: a quoted field has no end"),
    "truncated JSON": ("a.json", b'[{"instruction": "a"},\n {"instr', "is not valid JSON (line 2, column 3: "),
    "two lists": (
        "a.json",
        b'{"a": [1], "b": [2]}',
        "found an object with 2 lists ('a', 'b'); expected an array of rows",
    ),
    "no list": ("a.json", b'{"a": 1}', "found an object with no list; expected an array of rows"),
    "single value": ("a.json", b"12", "found a single int; expected an array of rows"),
    "nested JSON": ("a.json", b"[" * 100_000, "is not usable JSON: it is nested too deeply"),
    "not Parquet": ("a.parquet", b"PAR1 but not really", "is not a usable Parquet file: "),
    "Latin-1": (
        "a.jsonl",
        GOOD_LINE + b'{"instruction": "caf\xe9"}\n',
        "line 2 is not UTF-8 (byte 0xe9, the 21. of the line)",
    ),
    "Latin-1 JSON": ("a.json", b'[\n"\xe9"]', "line 2 is not UTF-8 (byte 0xe9, the 2. of the line)"),
    "UTF-16": ("a.csv", "instruction\na".encode("utf-16"), "is UTF-16; expected a UTF-8 file"),
    "unknown kind": ("a.txt", b"a", "the kind `.txt` is not known; expected one of .json, .jsonl"),
    "no kind": ("a", b"a", "the kind `no suffix` is not known"),
    "no usable column": (
        "a.jsonl",
        b'{"text": "a", "label": 1}',
        "no column for the instruction; found `text`, `label`; expected one of `instruction`, `prompt`, `question`",
    ),
    "all broken": (
        "a.jsonl",
        b"{\n" * 5,
        "5 of 5 rows cannot be used, at most 10% may be (max_bad): line 1: is not valid JSON",
    ),
    "a fifth broken": (
        "a.jsonl",
        GOOD_LINE * 4 + b"{}\n",
        "1 of 5 rows cannot be used, at most 10% may be (max_bad): line 5: ",
    ),
    "a fifth of an array": (
        "a.json",
        b'[{"instruction": "a"}, 1]',
        "1 of 2 rows cannot be used, at most 10% may be (max_bad): row 2: ",
    ),
}


@pytest.mark.parametrize("case", BROKEN_FILES)
def test_a_broken_file_is_named_with_what_is_wrong(tmp_path: Path, case: str) -> None:
    name, content, wanted = BROKEN_FILES[case]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert wanted in message
    assert "\n" not in message
    assert len(message) < 500 + len(str(path))


def test_truncated_parquet(tmp_path: Path) -> None:
    path = write(tmp_path / "seeds.parquet", ALPACA * 1000)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match="is not a usable Parquet file"):
        read(path)


def test_parquet_with_values_that_python_does_not_have(tmp_path: Path) -> None:
    texts = pa.array([b"Name a tree.", b"caf\xe9"]).cast(pa.binary()).view(pa.binary())
    broken = pa.StringArray.from_buffers(2, texts.buffers()[1], texts.buffers()[2])
    dates = pa.array([10**15, 10**15], pa.timestamp("ms"))
    for number, table in enumerate(({"instruction": broken}, {"instruction": ["a", "b"], "at": dates})):
        path = tmp_path / f"{number}.parquet"
        pq.write_table(pa.table(table), path)
        with pytest.raises(DataError, match="is not a usable Parquet file"):
            read(path)


def test_the_form_is_that_of_most_rows(tmp_path: Path) -> None:
    alpaca = [{"instruction": f"Name {n} trees.", "output": "Oaks."} for n in range(40)]
    chat = [sharegpt(("human", f"Name {n} trees."), ("gpt", "Oaks.")) for n in range(40)]
    batch = read(write(tmp_path / "a.jsonl", [chat[0], *alpaca]))
    assert (batch.format, len(batch.instructions), [row.line for row in batch.bad]) == ("alpaca", 40, [1])
    batch = read(write(tmp_path / "b.jsonl", [*chat, alpaca[0]]))
    assert (batch.format, len(batch.instructions), [row.line for row in batch.bad]) == ("sharegpt", 40, [41])


@pytest.mark.timeout(30)
def test_a_header_of_100_000_columns(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    names = ["instruction", *(f"column{n}" for n in range(100_000))]
    path.write_text("\n".join([",".join(names), "Name a tree." + "," * 100_000, ""]))
    assert [seed.instruction for seed in read(path).instructions] == ["Name a tree."]
    path.write_text(",".join([*names, "column7"]) + "\nx\n")
    with pytest.raises(DataError, match="the header has the column `column7` twice"):
        read(path)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (
            {"columns": {"instruction": "promt"}},
            "no column `promt` (columns.instruction); found `instruction`, `input`",
        ),
        ({"format": "sharegpt"}, "no column `conversations` (sharegpt); found `instruction`"),
        ({"format": "messages"}, "no column `messages` (messages); found `instruction`"),
        (
            {"format": "messages", "columns": {"output": "output"}},
            "the format `messages` has no columns for input and output",
        ),
    ],
)
def test_what_is_configured_must_be_there(tmp_path: Path, options: dict[str, Any], wanted: str) -> None:
    path = write(tmp_path / "seeds.jsonl", ALPACA)
    with pytest.raises(DataError) as caught:
        read(path, **options)
    assert wanted in str(caught.value)


def test_alpaca_by_name_needs_an_instruction(tmp_path: Path) -> None:
    path = write(tmp_path / "seeds.jsonl", [{"prompt": "a"}])
    with pytest.raises(DataError, match="found `prompt`; expected one of `instruction` "):
        read(path, format="alpaca")


def test_a_missing_file_is_answered_with_the_closest_names(tmp_path: Path) -> None:
    for name in ("quickstart.jsonl", "other.csv"):
        (tmp_path / name).write_text("a")
    with pytest.raises(DataError, match=r"quikstart.jsonl: no such file; closest names there: quickstart.jsonl$"):
        read(tmp_path / "quikstart.jsonl")
    with pytest.raises(DataError, match=r"no such file; the folder .*nowhere does not exist"):
        read_seeds(SeedsConfig(path="nowhere/seeds.jsonl"), tmp_path)


def test_a_slip_beside_a_folder_that_is_there_stays_local(tmp_path: Path) -> None:
    (tmp_path / "seeds").mkdir()
    (tmp_path / "seeds" / "quickstart.jsonl").write_text("a")
    with pytest.raises(DataError, match=r"no such file; closest names there: quickstart.jsonl$"):
        read_seeds(SeedsConfig(path="seeds/quickstart"), tmp_path)


def test_a_folder_is_answered_with_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "seeds").mkdir()
    (tmp_path / "seeds" / "a.jsonl").write_text("{}")
    with pytest.raises(DataError, match=r"is a folder; expected a file \(.json, .*\); it holds a.jsonl$"):
        read(tmp_path / "seeds")


def test_more_broken_rows_may_be_allowed_but_not_all(tmp_path: Path) -> None:
    path = tmp_path / "seeds.jsonl"
    path.write_bytes(GOOD_LINE + b"{\n" * 4)
    assert len(read(path, max_bad=0.8).bad) == 4
    path.write_bytes(b"{\n" * 4)
    with pytest.raises(DataError, match="4 of 4 rows cannot be used"):
        read(path, max_bad=1)


def test_limit_takes_the_first_good_rows_and_reads_no_further(tmp_path: Path) -> None:
    path = tmp_path / "seeds.jsonl"
    good = [json.dumps({"instruction": f"Count to {n}."}) for n in range(20)]
    path.write_text("\n".join(["{", *good[:11], *["{"] * 300, *good[11:]]))
    batch = read(path, limit=10)
    assert [seed.instruction for seed in batch.instructions] == [f"Count to {n}." for n in range(10)]
    assert [row.line for row in batch.bad] == [1]
    assert batch.total == 11


def test_identifiers_are_stable_and_duplicates_stay_apart(tmp_path: Path) -> None:
    first = read(write(tmp_path / "a.jsonl", [*ALPACA, ALPACA[0]]))
    second = read(write(tmp_path / "b.parquet", [ALPACA[1], ALPACA[0], ALPACA[0]]))
    ids = [seed.id for seed in first.instructions]
    assert len(set(ids)) == 3
    assert [seed.id for seed in second.instructions] == [ids[1], ids[0], ids[2]]
    assert ids[0] == "1a3d41da2afe3104"


def test_rows_of_any_dataset_keep_their_columns(tmp_path: Path) -> None:
    rows = [{"id": 7, "instruction": "Hi", "extra": [1, {"a": None}]}]
    assert list(read_rows(write(tmp_path / "a.jsonl", rows))) == [(1, rows[0])]
    path = tmp_path / "b.jsonl"
    path.write_bytes(b"{\n" + GOOD_LINE)
    bad: list[BadRow] = []
    assert list(read_rows(path, bad)) == [(2, {"instruction": "a"})]
    assert [row.line for row in bad] == [1]
    with pytest.raises(DataError, match="line 1: is not valid JSON"):
        list(read_rows(path))


def test_a_missing_file_fails_before_the_first_row(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_rows(tmp_path / "a.jsonl")


def test_a_dataset_by_its_name_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    # The library takes a folder of this name in the working directory for the hub's: no network is needed.
    folder = tmp_path / "owner" / "name"
    folder.mkdir(parents=True)
    write(folder / "train.jsonl", ALPACA)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    elsewhere = tmp_path / "elsewhere"
    for name in ("owner/name", "hf:owner/name", "owner/name:default"):
        batch = read_seeds(SeedsConfig(path=name), elsewhere)
        assert triples(batch) == WANTED
        assert batch.format == "alpaca"
    with pytest.raises(DataError, match=r"owner/name: no such file, and no dataset of this name with a split `test`"):
        read_seeds(SeedsConfig(path="owner/name", split="test"), elsewhere)


@pytest.mark.parametrize("path", ["data/seeds.jsonl", "seeds", "../up/seeds", "/abs/seeds", "a/b/c"])
def test_what_looks_like_a_path_is_not_looked_up(tmp_path: Path, path: str) -> None:
    with pytest.raises(DataError, match=r"no such file(; the folder .*|)$"):
        read_seeds(SeedsConfig(path=path), tmp_path)
