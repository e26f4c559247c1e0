"""Documents: texts without an instruction, as rows of a dataset with a column of texts, or as text files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evoagent.datasets.files import SUFFIXES, TEXT_SUFFIXES, BadRow, read_rows, unit_of
from evoagent.datasets.forms import MAX_DOCUMENT_CHARS, Form
from evoagent.errors import DataError
from evoagent.text import read_text

TEXT_COLUMNS = ("text", "document", "content")


def read_documents(path: Path, bad: list[BadRow]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The numbered rows of a dataset file, of a text file, or of a folder of text files in order of their names.

    A text file is one document, in the column `text`, without the empty lines around it.

    Raises:
        DataError: the file, or the folder, is missing or unreadable, or holds no documents.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        files = sorted(entry for entry in path.iterdir() if entry.suffix.lower() in TEXT_SUFFIXES)
        if not files:
            raise DataError(f"{path}: found a folder without texts ({', '.join(TEXT_SUFFIXES)}), expected documents")
        return _read_files(files, bad)
    if path.exists() and suffix in TEXT_SUFFIXES:
        return iter([(1, {"text": _read_file(path)})])
    if path.is_file() and suffix not in SUFFIXES:
        kinds = ", ".join((*TEXT_SUFFIXES, *SUFFIXES))
        raise DataError(f"{path}: the kind `{path.suffix or 'no suffix'}` is not known; expected one of {kinds}")
    return read_rows(path, bad)


def document_unit(path: Path) -> str:
    """What `BadRow.line` counts in these documents."""
    return "file" if path.is_dir() else unit_of(path)


def _read_files(files: Sequence[Path], bad: list[BadRow]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, file in enumerate(files, 1):
        try:
            text = _read_file(file)
        except DataError as error:
            bad.append(BadRow(number, str(error).removeprefix(f"{file.parent}/")))
            continue
        if text:
            yield number, {"text": text}
        else:
            bad.append(BadRow(number, f"{file.name} is empty"))


def _read_file(file: Path) -> str:
    return read_text(file, MAX_DOCUMENT_CHARS, DataError).removeprefix("\ufeff").strip()


def recognise_documents(rows: Sequence[Mapping[str, Any]], columns: Mapping[Any, str] | None, where: str) -> Form:
    """The form of a dataset of documents, from its first rows.

    Args:
        columns: `text` names the column of the texts.
        where: the dataset's name for messages.

    Raises:
        DataError: no column can be the text.
    """
    found = list(dict.fromkeys(key for row in rows for key in row))
    shown = ", ".join(f"`{column[:60]}`" for column in found[:20]) or "no column"
    given = (columns or {}).get("text")
    if given is not None:
        if given not in found:
            raise DataError(f"{where}: no column `{given}` (columns.text); found {shown}")
        return Form("documents", given)
    names = {str(name).strip().lower(): name for name in reversed(found)}
    column = next((names[name] for name in TEXT_COLUMNS if name in names), None)
    if column is None:
        expected = ", ".join(f"`{name}`" for name in TEXT_COLUMNS)
        raise DataError(
            f"{where}: no column for the text of the documents; found {shown}; "
            f"expected one of {expected} (or name it in `columns: {{text: …}}`)"
        )
    return Form("documents", column)
