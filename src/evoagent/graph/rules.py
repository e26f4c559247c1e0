"""Applying rules to one candidate: the first that fires decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from evoagent.errors import EngineError, LedgerError, UserError
from evoagent.failures import explain, finite, shown, storable
from evoagent.graph.context import EvolutionContext
from evoagent.ledger.rows import StoredCandidate
from evoagent.models.roles import Models
from evoagent.plugins.loaded import LoadedRule, LoadedSelector
from evoagent.records import Candidate, Verdict

ERROR = "error"  # a plugin or a request failed
NOT_EXTRACTED = "extracted"  # there is no instruction to judge
DETAIL_CHARACTERS = 2000


def stillborn(stored: StoredCandidate) -> Verdict | None:
    """The verdict on a candidate that never became an instruction."""
    if stored.error:
        return Verdict(False, ERROR, detail=stored.error)
    if not stored.candidate.instruction:
        return Verdict(False, NOT_EXTRACTED, detail=stored.reason or "no instruction")
    return None


async def judge(
    candidate: Candidate, rules: Sequence[LoadedRule], models: Models, context: EvolutionContext
) -> Verdict | None:
    """The first rejection among `rules`, or None. What a rule raises is a rejection of its own kind, `error`."""
    operator = context.operators.get(candidate.operator)
    for rule in rules:
        if rule.looks_at == "population" or (operator is not None and rule.name in operator.exempt):
            continue
        context.failures.called(rule.title)
        try:
            method = rule.plugin.judge  # type: ignore[union-attr]
            found = await context.calls.guard(rule, method, candidate, models)
            verdict = checked_verdict(found)
        except (EngineError, LedgerError, UserError):
            raise
        except Exception as error:
            context.failures.failed(rule.title, explain(error))
            return failed(rule, explain(error))
        if not verdict.kept:
            return replace(verdict, rule=rule.name)
    return None


def failed(plugin: LoadedRule | LoadedSelector, why: str) -> Verdict:
    """The verdict on a candidate that a rule or a selector could not judge."""
    return Verdict(False, ERROR, detail=f"{plugin.title}: {why}")


def checked_verdict(found: object) -> Verdict:
    """What a rule returned, if it is a `Verdict` that can be stored.

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
