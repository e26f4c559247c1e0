"""The forms that instruction datasets come in, and one example out of a row of any of them.

Conversations give their first exchange. What a system turn or a `system` column says is put before the
instruction, with a blank line between: the answer depends on it, and operators and scorers see nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from evoagent.errors import DataError

FormatName = Literal["auto", "alpaca", "sharegpt", "messages", "plain"]

INSTRUCTION_COLUMNS = ("instruction", "prompt", "question", "query", "problem", "task")
INPUT_COLUMNS = ("input", "context")
OUTPUT_COLUMNS = ("output", "response", "answer", "completion", "target", "solution")
TURN_COLUMNS = {"sharegpt": ("conversations", "conversation"), "messages": ("messages",)}

MAX_CHARS = 100_000
MAX_DOCUMENT_CHARS = 20_000
"""Of a document: as many as an instruction, its input and its response may have together."""

_USERS = frozenset({"human", "user", "prompter"})
_ASSISTANTS = frozenset({"gpt", "assistant", "chatgpt", "model", "bot"})


class Example(NamedTuple):
    """One instruction with its input and its reference answer, "" where there is none; of a document the input."""

    instruction: str
    input: str
    output: str


@dataclass(frozen=True, slots=True)
class Form:
    """Which columns of a dataset hold what.

    Attributes:
        format: alpaca, sharegpt, messages or plain; or documents.
        instruction: the column of the instruction; of the turns in a conversation, of the text of documents.
        instances: the column of Self-Instruct's list of input and output pairs, the first of which is taken.
    """

    format: str
    instruction: str
    input: str | None = None
    output: str | None = None
    instances: str | None = None


def recognise(
    rows: Sequence[Mapping[str, Any]],
    format: FormatName = "auto",
    columns: Mapping[Any, str] | None = None,
    where: str = "dataset",
) -> Form:
    """The form of a dataset, from its first rows.

    Args:
        rows: enough of them that every column occurs.
        columns: names for instruction (the turns, in conversations), input and output that override the usual ones.
        where: the dataset's name for messages.

    Raises:
        DataError: no column can be the instruction, or a named one is missing.
    """
    found = list(dict.fromkeys(key for row in rows for key in row))
    names = {str(name).strip().lower(): name for name in reversed(found)}
    given = dict(columns or {})
    for part, column in given.items():
        if column not in found:
            raise DataError(f"{where}: no column `{column}` (columns.{part}); found {_list(found)}")

    for kind in ("sharegpt", "messages"):
        turns = given.get("instruction") or _first(names, TURN_COLUMNS[kind])
        if format == kind:
            if {"input", "output"} & set(given):
                raise DataError(f"{where}: the format `{kind}` has no columns for input and output, only `instruction`")
            if turns is None:
                raise DataError(f"{where}: no column `{TURN_COLUMNS[kind][0]}` ({kind}); found {_list(found)}")
            return Form(kind, turns)
        if format == "auto" and not given and turns and _most_are_turns(rows, turns):
            return Form(kind, turns)

    output = given.get("output") or _first(names, OUTPUT_COLUMNS)
    wanted = ("instruction",) if format == "alpaca" else INSTRUCTION_COLUMNS
    # Some sets of input and output pairs have no instruction column: there the input is the instruction.
    last_resort = ("input",) if format != "alpaca" and output else ()
    instruction = given.get("instruction") or _first(names, (*wanted, *last_resort))
    if instruction is None:
        expected = ", ".join(f"`{name}`" for name in wanted)
        if format == "auto":
            expected += ", `conversations`, `messages`"
        raise DataError(
            f"{where}: no column for the instruction; found {_list(found)}; "
            f"expected one of {expected} (or name it in `columns`)"
        )
    input_names = {key: name for key, name in names.items() if name != instruction}
    input_ = given.get("input") or _first(input_names, INPUT_COLUMNS)
    instances = None if output else _first(names, ("instances",))
    usual = instruction.lower() == "instruction" and (input_ or "input").lower() == "input"
    known = usual and ((output or "").lower() == "output" or instances is not None)
    kind = format if format != "auto" else "alpaca" if known else "plain"
    return Form(kind, instruction, input_, output, instances)


def _most_are_turns(rows: Sequence[Mapping[str, Any]], column: str) -> bool:
    """Whether conversations outnumber the rows that have an instruction instead."""
    turns = [isinstance(row.get(column), list) for row in rows]
    texts = sum(is_row(row) for row, is_turns in zip(rows, turns, strict=True) if not is_turns)
    return any(turns) and sum(turns) >= texts


def is_row(content: Mapping[str, Any]) -> bool:
    """Whether a JSON object is itself a row, rather than a wrapper around rows."""
    if any(isinstance(content.get(column), list) for columns in TURN_COLUMNS.values() for column in columns):
        return True
    return any(isinstance(content.get(column), str) for column in INSTRUCTION_COLUMNS)


def to_example(row: Mapping[str, Any], form: Form | FormatName = "auto") -> Example:
    """The instruction, input and output of a row.

    Args:
        form: of `recognise`, for the whole dataset; by a format's name, the row is looked at alone.

    Raises:
        DataError: the row has no usable instruction; the message is the reason alone.
    """
    if not isinstance(form, Form):
        form = recognise([row], form, where="row")
    if form.format in TURN_COLUMNS:
        return _first_exchange(row, form.instruction)
    instruction = row.get(form.instruction)
    if instruction is None:
        raise DataError(f"no `{form.instruction}`")
    if not isinstance(instruction, str):
        raise DataError(f"`{form.instruction}` is {_kind(instruction)}; expected text")
    if form.format == "documents":
        return _document(instruction, form.instruction)
    if form.instances is not None:
        first = _first_instance(row.get(form.instances))
        return _checked(instruction, _text(first, "input"), _text(first, "output"), form.instruction)
    return _checked(instruction, _text(row, form.input), _text(row, form.output), form.instruction)


def _first_instance(instances: Any) -> Mapping[str, Any]:
    if not instances:
        return {}
    if not isinstance(instances, list) or not isinstance(instances[0], Mapping):
        raise DataError("`instances` is not a list of objects")
    return instances[0]


def _text(row: Mapping[str, Any], column: str | None) -> str:
    value = row.get(column) if column is not None else None
    if value is None or value != value:  # NaN is how data frames write a missing text
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):  # the answer to a sum, a label
        return str(value)
    raise DataError(f"`{column}` is {_kind(value)}; expected text")


def _first_exchange(row: Mapping[str, Any], column: str) -> Example:
    turns = row.get(column)
    if turns is None:
        raise DataError(f"no `{column}`")
    if not isinstance(turns, list):
        raise DataError(f"`{column}` is {_kind(turns)}; expected a list of turns")
    system = [text] if (text := _text(row, "system")).strip() else []
    user: str | None = None
    output = ""
    for turn in turns:
        role, content = _turn(turn, column)
        if user is not None:
            output = content if role in _ASSISTANTS else ""
            break
        if role in _USERS:
            user = content
        elif role == "system" and content.strip():
            system.append(content)
    if user is None:
        raise DataError(f"`{column}` has no turn of the user")
    if not user.strip():
        raise DataError(f"the user's first turn in `{column}` is empty")
    return _checked("\n\n".join([*system, user]), "", output, column)


def _turn(turn: Any, column: str) -> tuple[str, str]:
    if not isinstance(turn, Mapping):
        raise DataError(f"`{column}` has a turn that is {_kind(turn)}; expected an object")
    role = turn.get("from", turn.get("role"))
    content = turn.get("value", turn.get("content"))
    if not isinstance(role, str):
        raise DataError(f"`{column}` has a turn without `from` or `role`")
    if isinstance(content, list):  # parts, as some chat servers have them
        content = "".join(_part(part, column) for part in content)
    if content is not None and not isinstance(content, str):
        raise DataError(f"`{column}` has a turn whose content is {_kind(content)}; expected text")
    return role.strip().lower(), content or ""  # a turn that only calls a tool has no content


def _part(part: Any, column: str) -> str:
    if isinstance(part, Mapping) and part.get("type") == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    raise DataError(f"`{column}` has a part that is not text")


def _checked(instruction: str, input: str, output: str, column: str) -> Example:
    if not instruction.strip():
        raise DataError(f"`{column}` is empty")
    for name, text in ((column, instruction), ("input", input), ("output", output)):
        _check_text(name, text, MAX_CHARS)
    return Example(instruction, input, output)


def _document(text: str, column: str) -> Example:
    if not text.strip():
        raise DataError(f"`{column}` is empty")
    _check_text(column, text, MAX_DOCUMENT_CHARS, " in a document; split it")
    return Example("", text, "")


def _check_text(name: str, text: str, most: int, where: str = "") -> None:
    if len(text) > most:
        raise DataError(f"`{name}` has {len(text):,} characters; expected at most {most:,}{where}")
    if "\0" in text:
        raise DataError(f"`{name}` contains a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise DataError(f"`{name}` contains a lone surrogate, half a character") from None


def _first(names: Mapping[str, str], wanted: Iterable[str]) -> str | None:
    return next((names[name] for name in wanted if name in names), None)


def _list(columns: Sequence[str]) -> str:
    shown = ", ".join(f"`{column[:60]}`" for column in columns[:20])
    return (shown + (", …" if len(columns) > 20 else "")) or "no column"


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    return {str: "text", list: "a list", dict: "an object", bytes: "bytes", type(None): "null"}.get(
        type(value), f"a {type(value).__name__}"
    )
