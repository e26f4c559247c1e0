"""Texts of strangers are safe to print and to store, and failures are counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from evoagent.failures import Failures, PluginFault, explain, finite, one_line, shown, storable


class Hostile(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    def __repr__(self) -> str:
        raise RuntimeError("no text")


def test_a_group_of_exceptions_is_told_by_its_first() -> None:
    group = ExceptionGroup("unhandled errors in a TaskGroup", [ExceptionGroup("inner", [ValueError("the cause")])])
    assert explain(group) == "ValueError: the cause"


def test_exceptions_and_values_in_one_safe_line() -> None:
    assert explain(ValueError("two\nlines \x1b[31m red \ud800")) == "ValueError: two lines [31m red \ufffd"
    assert explain(Hostile()) == "Hostile"
    assert explain(PluginFault("has waited")) == "has waited"
    assert len(explain(ValueError("x" * 10_000_000))) < 600
    assert len(shown("x" * 10_000_000)) <= 80
    assert "Hostile" in shown(Hostile())
    assert shown(10**5000)
    assert one_line("a" * 30, 10) == "a" * 9 + "…"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a\ud83d", "a\ufffd"), ("\ud83d\ude00", "\U0001f600"), ("a\0b", "a\ufffdb"), ("ünï😀", "ünï😀")],
)
def test_half_pairs_and_nul_are_replaced(text: str, expected: str) -> None:
    assert storable(text) == expected
    storable(text).encode()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(3), 3.0),
        (7, 7.0),
        (True, None),
        (float("nan"), None),
        (float("inf"), None),
        (10**400, None),
        ("1", None),
        (None, None),
        (1j, None),
    ],
)
def test_a_finite_number_is_a_float(value: Any, expected: float | None) -> None:
    assert finite(value) == expected
    assert finite(value) is None or type(finite(value)) is float


def test_failures_are_told_once_the_worst_first() -> None:
    failures = Failures()
    for number in range(4):
        for who in ("a", "b", "c"):
            failures.called(who)
        failures.failed("b", f"b {number}")
    failures.failed("a", "only once")
    failures.failed("`measure` of d", "nothing to measure")
    assert failures.notices() == [
        "b failed on all 4 candidates, first: b 0",
        "`measure` of d failed: nothing to measure",
        "a failed on 1 of 4 candidates, first: only once",
    ]
    assert failures.notices() == []
    for number in range(30):
        failures.failed(f"{number}", "x")
    assert failures.notices()[-1] == "10 more plugins failed"
