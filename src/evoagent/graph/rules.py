"""Applying rules to one candidate: the first that fires decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evoagent.errors import EngineError, LedgerError, UserError
from evoagent.failures import explain
from evoagent.graph.context import EvolutionContext
from evoagent.ledger.rows import StoredCandidate
from evoagent.models.roles import Models
from evoagent.plugins.loaded import LoadedRule, LoadedSelector
from evoagent.plugins.returned import ERROR, checked_verdict
from evoagent.records import Candidate, Verdict

NOT_EXTRACTED = "extracted"  # there is no instruction to judge


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
