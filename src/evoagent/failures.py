"""What plugins do wrong, told and counted: whatever they raise or return becomes a text that is safe to keep."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

SHOWN = 80  # characters of a value in a message
EXPLAINED = 500  # characters of an exception in a message
NOTICES = 20  # plugins that are told of after a round
DATA_CHARACTERS = 20_000  # of what a plugin attaches to a candidate or a score, as JSON

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = SHOWN


class PluginFault(Exception):
    """What a plugin did to its caller other than raising: its text is the whole message."""


def storable(text: str) -> str:
    """`text` with U+FFFD for what databases and files refuse: halves of surrogate pairs, and NUL."""
    plain = str.__str__(text).replace("\0", "\ufffd")
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def is_storable(text: str) -> bool:
    """Whether databases and files take `text` as it is."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def plain_json(value: Any, most: int) -> dict[str, Any]:
    """A mapping as plain JSON, which shares nothing with it.

    Args:
        most: characters that it may have as text.

    Raises:
        TypeError, ValueError: it is no mapping, cannot be stored, or is larger.
    """
    if not isinstance(value, Mapping):
        raise TypeError(f"found {shown(value)}, expected a mapping")
    if not value:
        return {}
    text = json.dumps(dict(value), allow_nan=False)
    if len(text) > most:
        raise ValueError(f"{len(text)} characters, more than {most}")
    plain: dict[str, Any] = json.loads(text)
    return plain


def finite(value: object) -> float | None:
    """`value` as a float, NumPy's numbers included; None if it is no finite number."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        number = float(value)
    except (OverflowError, ValueError):
        return None
    return number if math.isfinite(number) else None


def one_line(text: str, limit: int = EXPLAINED) -> str:
    """`text` on one line, without control characters, shortened to `limit` characters."""
    head = storable(text[: 4 * limit])
    plain = " ".join("".join(c if c.isprintable() else " " for c in head).split())
    return plain if len(plain) <= limit and len(text) <= 4 * limit else plain[: limit - 1] + "…"


def explain(error: BaseException) -> str:
    """An exception on one line, whatever its author made of it; of a group, the first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    try:
        text = one_line(str(error))
    except Exception:
        text = ""
    if isinstance(error, PluginFault):
        return text
    name = one_line(type(error).__name__, SHOWN)
    return f"{name}: {text}" if text else name


def shown(value: object) -> str:
    """`value` for a message, whatever its author made of its `repr`."""
    try:
        return one_line(_repr.repr(value), SHOWN)
    except Exception:
        return f"a {one_line(type(value).__name__, SHOWN)}"


@dataclass(slots=True)
class _Count:
    calls: int = 0
    failed: int = 0
    first: str = ""


class Failures:
    """Counts the calls of each plugin in a round, and those that failed."""

    def __init__(self) -> None:
        self._counts: dict[str, _Count] = {}

    def called(self, who: str) -> None:
        """Count a call."""
        self._counts.setdefault(who, _Count()).calls += 1

    def failed(self, who: str, why: str) -> None:
        """Count a call that failed; it need not have been counted before."""
        count = self._counts.setdefault(who, _Count())
        count.failed += 1
        count.first = count.first or why

    def notices(self) -> list[str]:
        """A line for each plugin that failed since the last time, the worst first; counting begins anew."""
        counts, self._counts = self._counts, {}
        found = sorted(((who, n) for who, n in counts.items() if n.failed), key=lambda item: (-item[1].failed, item[0]))
        lines = [f"{who} failed{_share(count)}: {count.first}" for who, count in found[:NOTICES]]
        return lines + ([f"{len(found) - NOTICES} more plugins failed"] if len(found) > NOTICES else [])


def _share(count: _Count) -> str:
    if not count.calls:
        return ""
    noun = "candidate" if count.calls == 1 else "candidates"
    if count.failed >= count.calls > 1:
        return f" on all {count.calls} {noun}, first"
    return f" on {count.failed} of {count.calls} {noun}, first"
