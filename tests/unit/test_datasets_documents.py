"""Documents are read from every usual form, and a corpus's version is that of what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from evoagent.config.model import SeedsConfig
from evoagent.datasets.corpora import find_corpus
from evoagent.datasets.forms import MAX_DOCUMENT_CHARS
from evoagent.datasets.seeds import SeedBatch, read_seeds
from evoagent.errors import DataError
from evoagent.records import Instruction

from .test_datasets_seeds import write

TEXTS = ["Salt keeps food.\nIce does too.", "A bridge swings open."]


def read(path: Path, **options: Any) -> SeedBatch:
    return read_seeds(SeedsConfig(path=path.name, form="documents", **options), path.parent)


def texts(batch: SeedBatch) -> list[str]:
    assert all(seed.is_document and seed.instruction == "" and seed.output == "" for seed in batch)
    return [seed.input for seed in batch]


@pytest.mark.parametrize("suffix", ["json", "jsonl", "parquet", "csv"])
@pytest.mark.parametrize("column", ["text", "document", "Content"])
def test_a_column_of_texts(tmp_path: Path, suffix: str, column: str) -> None:
    batch = read(write(tmp_path / f"a.{suffix}", [{"title": "x", column: text} for text in TEXTS]))
    assert texts(batch) == TEXTS
    assert (batch.count, batch.bad, batch.format) == (2, [], "documents")


def test_the_column_may_be_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"text": "no", "body": text} for text in TEXTS])
    assert texts(read(path, columns={"text": "body"})) == TEXTS
    with pytest.raises(DataError, match=r"no column `bodi` \(columns\.text\); found `text`, `body`"):
        read(path, columns={"text": "bodi"})
    with pytest.raises(DataError, match="no column for the text of the documents; found `a`; expected one of `text`"):
        read(write(tmp_path / "b.jsonl", [{"a": "x"}]))


def test_a_text_file_is_a_document(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes(b"\xef\xbb\xbf# Salt\n\nkeeps food.\n\n")
    assert texts(read(tmp_path / "a.md")) == ["# Salt\n\nkeeps food."]
    with pytest.raises(DataError, match=r"`.md` is not known; .*; a text is read with `form: documents`"):
        read_seeds(SeedsConfig(path="a.md"), tmp_path)


def test_a_folder_of_texts_in_order_of_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    for name, content in {"b.txt": TEXTS[1], "a.txt": TEXTS[0], "c.jsonl": "{}", "d.TXT": "Third."}.items():
        (folder / name).write_text(content)
    batch = read(folder)
    assert texts(batch) == [*TEXTS, "Third."]
    (folder / "e.txt").write_text(" \n")
    (folder / "f.txt").write_bytes(b"caf\xe9")
    (folder / "g.txt").write_text("x" * (MAX_DOCUMENT_CHARS + 1))
    worse = read(folder, max_bad=0.5)
    assert [(row.line, row.reason) for row in worse.bad] == [
        (4, "e.txt is empty"),
        (5, "f.txt: cannot be read: found byte 0xe9, expected UTF-8"),
        (6, "g.txt: found more than 20000 characters, expected at most that"),
    ]
    assert worse.sha256 == batch.sha256, "what is read is the same"
    with pytest.raises(DataError, match=r"3 of 6 rows cannot be used, .*: file 4: e\.txt is empty"):
        read(folder)


def test_a_folder_without_texts(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    with pytest.raises(DataError, match=r"found a folder without texts \(\.txt, \.md\), expected documents"):
        read(tmp_path / "texts")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"text": " \n"}, "`text` is empty"),
        ({"text": None}, "no `text`"),
        ({"text": 7}, "`text` is a number; expected text"),
        ({"text": "x" * 20_001}, "`text` has 20,001 characters; expected at most 20,000 in a document; split it"),
        ({"text": "a\0b"}, "`text` contains a NUL character"),
    ],
)
def test_a_broken_document_is_skipped_with_its_line(tmp_path: Path, row: dict[str, Any], reason: str) -> None:
    path = write(tmp_path / "a.jsonl", [{"text": text} for text in [*TEXTS, "x" * 20_000]] + [row])
    batch = read(path, max_bad=0.3)
    assert len(texts(batch)) == 3
    assert [(bad.line, bad.reason) for bad in batch.bad] == [(4, reason)]


def test_missing_documents(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("a")
    with pytest.raises(DataError, match=r"note\.txt: no such file; closest names there: notes\.txt"):
        read(tmp_path / "note.txt")
    (tmp_path / "notes.pdf").write_text("a")
    with pytest.raises(DataError, match=r"the kind `\.pdf` is not known; expected one of \.txt, \.md, \.json"):
        read(tmp_path / "notes.pdf")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"columns": {"text": "body"}}, "found `text`, expected `instruction`, `input` or `output`"),
        ({"form": "documents", "columns": {"instruction": "a"}}, "found `instruction`, expected `text` alone"),
        ({"form": "documents", "format": "alpaca"}, "found format: alpaca"),
    ],
)
def test_keys_of_the_other_form_are_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        SeedsConfig(path="a.jsonl", **options)


def test_what_an_earlier_run_attached_comes_along(tmp_path: Path) -> None:
    rows = [
        {"instruction": "Say hello.", "data": {"facets": ["greeting"]}},
        {"instruction": "Say goodbye.", "data": '{"facets": []}'},
        {"instruction": "Say it.", "data": "no JSON"},
        {"instruction": "Say all.", "data": 7},
    ]
    batch = read_seeds(SeedsConfig(path="a.jsonl"), write(tmp_path / "a.jsonl", rows).parent)
    assert [seed.data for seed in batch] == [{"facets": ["greeting"]}, {"facets": []}, {}, {}]


def test_a_document_as_a_prompt_is_its_text_alone() -> None:
    assert Instruction("1", "", "A text.").prompt_text == "A text."
    assert Instruction("1", "Sum up:", "A text.").prompt_text == "Sum up:\nA text."
    assert not Instruction("1", "Sum up:", "A text.").is_document


# -- corpora


def version(path: Path, **options: Any) -> str:
    return find_corpus("queries", SeedsConfig(path=path.name, **options), path.parent).version


def test_the_version_of_a_corpus_is_that_of_what_it_says(tmp_path: Path) -> None:
    rows = [{"query": "Who?"}, {"query": "Why?"}]
    first = write(tmp_path / "a.jsonl", rows)
    (tmp_path / "elsewhere").mkdir()
    assert version(first) == version(write(tmp_path / "elsewhere" / "b.jsonl", rows)) == version(first, max_bad=0.5)
    others = {version(first), version(first, limit=1), version(write(tmp_path / "c.jsonl", rows[:1]))}
    assert len(others) == 3
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text("One.")
    before = version(folder, form="documents")
    (folder / "a.txt").write_text("Two.")
    assert version(folder, form="documents") != before


def test_a_corpus_of_any_form(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"query": "Who?", "answer": "I."}])
    (row,) = find_corpus("queries", SeedsConfig(path="a.jsonl"), tmp_path).read()
    assert (row.instruction, row.output) == ("Who?", "I.")
    write(path, [{"content": "A text."}])
    (row,) = find_corpus("texts", SeedsConfig(path="a.jsonl", form="documents"), tmp_path).read()
    assert row.is_document
    assert row.input == "A text."


@pytest.mark.parametrize("name", ["no.jsonl", "folder", "broken.jsonl", "empty.jsonl"])
def test_a_corpus_that_cannot_be_read_is_named_with_its_key_and_path(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "broken.jsonl").write_text("{")
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(DataError, match=rf"^corpora\.queries: .*{name}: "):
        find_corpus("queries", SeedsConfig(path=name), tmp_path).read()
