"""What is asked of a plugin's return value: each kind's is checked and given in a form that can be stored."""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from itertools import islice
from typing import Any

from evoagent.errors import EvoAgentError
from evoagent.failures import (
    DATA_CHARACTERS,
    PluginFault,
    explain,
    finite,
    is_storable,
    plain_json,
    shown,
    storable,
)
from evoagent.models.roles import Models
from evoagent.population.base import Population
from evoagent.records import Evolution, Score, Verdict

ERROR = "error"  # the rule of a verdict on a candidate that a plugin or a request failed on

RAW_CHARACTERS = 40_000  # of a completion kept in the ledger
REASON_CHARACTERS = 2000  # of an evolution's reason
SCORE_REASON_CHARACTERS = 500
DETAIL_CHARACTERS = 2000  # of a verdict's detail
FIGURES = 100  # that one plugin may measure
NAME_CHARACTERS = 100  # of a figure's name
PARAMS_CHARACTERS = 100_000  # of one operator's parameters


def checked_evolutions(found: object, most: int) -> list[Evolution | Exception]:
    """What an operator returned: one evolution or, where `most` allows it, a list; what is wrong with one is its own.

    Raises:
        TypeError, ValueError: it is neither, or a longer list.
    """
    if most == 1 or not isinstance(found, (list, tuple)):
        return [checked_evolution(found)]
    items = list(islice(found, most + 1))  # a list of a class of its own may lie about its length
    if len(items) > most:
        raise ValueError(f"returned more than the {most} evolutions that it declares")
    checked: list[Evolution | Exception] = []
    for item in items or [Evolution("")]:
        try:
            checked.append(checked_evolution(item))
        except (TypeError, ValueError) as error:
            checked.append(error)
    return checked


def checked_evolution(found: object) -> Evolution:
    """What an operator returned, if it is an `Evolution` of plain texts that can be stored.

    Raises:
        TypeError, ValueError: it is not.
    """
    if not isinstance(found, Evolution):
        raise TypeError(f"returned {shown(found)}, expected an Evolution")
    texts: dict[str, str | None] = {}
    for name in ("instruction", "input", "response", "reason", "raw"):
        value = getattr(found, name)
        if not (isinstance(value, str) or (value is None and name not in ("instruction", "raw"))):
            raise TypeError(f"returned an Evolution with {name} {shown(value)}, expected a text")
        texts[name] = None if value is None else str.__str__(value)
    for name in ("instruction", "input", "response"):
        if not is_storable(texts[name] or ""):
            raise ValueError(f"returned an Evolution whose {name} holds NUL or half a surrogate pair")
    raw, reason = texts["raw"] or "", texts["reason"]
    return Evolution(
        instruction=texts["instruction"] or "",
        input=texts["input"],
        reason=None if reason is None else storable(reason[:REASON_CHARACTERS]),
        raw=storable(raw[:RAW_CHARACTERS]),
        truncated=bool(found.truncated),
        response=texts["response"],
        data=_data(found.data),
    )


def _data(found: object) -> dict[str, Any] | None:
    if found is None:
        return None
    try:
        return plain_json(found, DATA_CHARACTERS)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"returned an Evolution whose data cannot be stored: {explain(error)}") from error


def checked_score(found: object) -> Score:
    """What a scorer returned, if it is a `Score` that can be stored.

    Raises:
        TypeError, ValueError: it is not.
    """
    if not isinstance(found, Score):
        raise TypeError(f"the scorer returned {shown(found)}, expected a Score")
    reason: Any = found.reason
    if reason is not None:
        reason = storable(reason[:SCORE_REASON_CHARACTERS]) if isinstance(reason, str) else shown(reason)
    details, flaw = _plain("details", found.details)
    data, worse = _plain("data", found.data)
    value: Any = found.value
    if value is None:
        return Score(None, reason or "the scorer gave no reason", details, data)
    number = finite(value)
    if number is None:
        raise ValueError(f"the scorer returned the value {shown(value)}, expected a finite number")
    return Score(number, reason or worse or flaw, details, data)


def _plain(name: str, value: Any) -> tuple[dict[str, Any], str | None]:
    """Details or data as plain JSON, or none and why: a good figure is not lost for them."""
    try:
        return plain_json(value, DATA_CHARACTERS), None
    except Exception as error:
        return {}, f"its {name} cannot be stored: {explain(error)}"[:SCORE_REASON_CHARACTERS]


def checked_verdict(found: object) -> Verdict:
    """What a rule or a selector returned, if it is a `Verdict` that can be stored.

    Raises:
        TypeError, ValueError: it is not.
    """
    if not isinstance(found, Verdict):
        raise TypeError(f"returned {shown(found)}, expected a Verdict")
    kept: Any = found.kept
    if not isinstance(kept, bool):
        if type(kept).__name__ not in ("bool", "bool_"):  # NumPy's
            raise TypeError(f"returned a Verdict with kept {shown(kept)}, expected True or False")
        kept = bool(kept)
    rule, detail = found.rule, found.detail
    return Verdict(
        kept=kept,
        rule=storable(rule[:64]) if isinstance(rule, str) and rule != ERROR else "",
        figure=_number("figure", found.figure),
        threshold=_number("threshold", found.threshold),
        detail=storable(detail[:DETAIL_CHARACTERS]) if isinstance(detail, str) else shown(detail),
    )


def _number(name: str, value: Any) -> float | None:
    if value is None:
        return None
    number = finite(value)
    if number is None:
        raise ValueError(f"returned a Verdict with {name} {shown(value)}, expected a finite number or None")
    return number


def checked_ranks(found: object, count: int) -> list[float | None]:
    """What a response selector returned: a rank for each of `count` responses.

    Raises:
        TypeError, ValueError: it is none.
    """
    items = list(islice(found, count + 1)) if isinstance(found, Sequence) and not isinstance(found, str) else []
    if len(items) != count:
        raise TypeError(f"returned {shown(found)}, expected a list of one number or None for each of {count} responses")
    ranks: list[float | None] = []
    for value in items:
        number = None if value is None else finite(value)
        if value is not None and number is None:
            raise ValueError(f"returned the rank {shown(value)}, expected a finite number or None")
        ranks.append(number)
    return ranks


def checked_figures(name: str, found: object) -> dict[str, float]:
    """What plugin `name` has measured, by NAME.FIGURE; what is no finite number is left out.

    Raises:
        TypeError: it is no mapping.
    """
    if not isinstance(found, Mapping):
        raise TypeError(f"returned {shown(found)}, expected numbers by name")
    figures = {}
    for key, value in list(found.items())[:FIGURES]:
        number = finite(value)
        if isinstance(key, str) and number is not None:
            plain = " ".join(storable(key[:NAME_CHARACTERS]).split())
            figures[f"{name}.{plain}"[:160]] = number
    return figures


def checked_parameters(
    found: object, operators: Collection[str], remake: Callable[[str, Mapping[str, Any]], object]
) -> dict[str, dict[str, Any]]:
    """What an optimizer returned: parameters that `operators`, names of a stage's, accept.

    Args:
        remake: makes an operator with other parameters; raises `EvoAgentError` where they are wrong.

    Raises:
        TypeError, ValueError: it is none.
    """
    if not isinstance(found, Mapping):
        raise TypeError(f"returned {shown(found)}, expected parameters by operator")
    checked = {}
    for name, given in found.items():
        if name not in operators:
            raise ValueError(f"returned parameters of {shown(name)}, expected of {', '.join(operators)}")
        params = plain_json(given, PARAMS_CHARACTERS)
        try:
            remake(name, params)
        except EvoAgentError as error:
            raise ValueError(str(error)) from error
        checked[name] = params
    return checked


def checked_row(found: object, may_skip: bool) -> dict[str, Any] | None:
    """What an exporter returned, as plain JSON; None, where it `may_skip` a row and does.

    Raises:
        TypeError, ValueError: it is neither.
    """
    if found is None and may_skip:
        return None
    if not isinstance(found, Mapping):
        raise TypeError(f"returned {shown(found)}, expected a mapping")
    plain: dict[str, Any] = json.loads(json.dumps(dict(found), allow_nan=False))
    if not is_storable(json.dumps(plain, ensure_ascii=False)):
        raise ValueError("returned half a surrogate pair")
    return plain


async def one_for_each(
    method: Callable[..., Any], noun: str, candidates: Population, survivors: Population, models: Models
) -> AsyncGenerator[Any]:
    """What a plugin that sees a whole population yields or returns: as many as there are `candidates`, in order.

    Raises:
        PluginFault: it gives more or fewer, or no list of them; what each is, is not looked at.
    """
    found: Any = method(candidates, survivors, models)
    total, given = len(candidates), 0
    if inspect.isawaitable(found):
        found = await found
        if not isinstance(found, (list, tuple)):
            raise PluginFault(f"returned {shown(found)}, expected a list of one {noun} for each of {total} candidates")
        found = _one_by_one(found)
    if not isinstance(found, AsyncGenerator):
        name = getattr(method, "__name__", "it")
        raise PluginFault(f"`{name}` returned {shown(found)} at once, expected `async def {name}`")
    try:
        async for item in found:
            if given == total:
                raise PluginFault(f"gave more than one {noun} for each of {total} candidates")
            given += 1
            yield item
    finally:
        await found.aclose()
    if given < total:
        raise PluginFault(f"gave {given} {noun.lower()}s for {total} candidates")


async def _one_by_one(items: Sequence[Any]) -> AsyncGenerator[Any]:
    for item in items:
        yield item
