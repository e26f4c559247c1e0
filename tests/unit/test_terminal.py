"""Strange characters on their way to the terminal."""

from __future__ import annotations

import json
import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evoagent.cli.terminal import JsonLines, log_to_stderr, tell, visible, write, write_json

STRANGE = [*map(chr, range(32)), *map(chr, range(0x7F, 0xA0)), *"\u202a\u202e\u2066\u2069", "\ud83d", "\udc80"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b]0;a\x07", r"\x1b]0;a\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202eab\u2069", r"\u202eab\u2069"),
        ("\0\x7f\ud83d", r"\x00\x7f\ud83d"),
        ("over\rwritten\r\n", "over\\rwritten\r\n"),
        ("two\nlines\tand a \\", "two\nlines\tand a \\"),
        ("😀 مرحبا 你好 👩\u200d🔬 é", "😀 مرحبا 你好 👩\u200d🔬 é"),
    ],
)
def test_strange_characters_are_shown(text: str, expected: str) -> None:
    assert visible(text) == expected


@given(st.recursive(st.text(st.one_of(st.sampled_from(STRANGE), st.characters(codec=None))), st.lists))
def test_a_json_document_stays_equal(value: object) -> None:
    with pytest.MonkeyPatch.context() as patch:
        lines: list[str] = []
        patch.setattr("builtins.print", lambda text, **_: lines.append(text))
        write_json(value)
    (document,) = lines
    assert json.loads(document) == value
    assert document.encode() == visible(document).encode()


def test_each_goes_where_it_belongs(capsys: pytest.CaptureFixture[str]) -> None:
    rows = JsonLines()
    tell("a\x1b", end="")
    write("b\x9b")
    write_json({"c": "\x9b"}, indent=2)
    rows.write('"\x9b"\n')
    assert capsys.readouterr() == ('b\\x9b\n{\n  "c": "\\u009b"\n}\n"\\u009b"\n', "a\\x1b")


def test_log_records_are_messages(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "root", logging.RootLogger(logging.WARNING))
    log_to_stderr()
    assert logging.root.handlers[0].stream is sys.stderr  # type: ignore[attr-defined]
    logging.root.handle(
        logging.makeLogRecord({"levelno": 30, "levelname": "WARNING", "name": "x", "msg": "a\x1b[2J\nb"})
    )
    assert capsys.readouterr().err == "WARNING x: a\\x1b[2J\nb\n"


def test_the_password_of_an_address_is_not_shown() -> None:
    assert visible("no http://me:hush4ever@host/v1 there, but http://host:80/a@b") == (
        "no http://***@host/v1 there, but http://host:80/a@b"
    )
