"""Applying rules to one candidate: the first that fires decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evoagent.eliminators.base import Eliminator
from evoagent.errors import EngineError, LedgerError, UserError
from evoagent.ledger.rows import StoredCandidate
from evoagent.models.roles import Models
from evoagent.records import Candidate, Verdict
from evoagent.state import LoadedRule

ERROR = "error"  # a plugin or a request failed
NOT_EXTRACTED = "extracted"  # there is no instruction to judge


def stillborn(stored: StoredCandidate) -> Verdict | None:
    """The verdict on a candidate that never became an instruction."""
    if stored.error:
        return Verdict(False, ERROR, detail=stored.error)
    if not stored.candidate.instruction:
        return Verdict(False, NOT_EXTRACTED, detail=stored.reason or "no instruction")
    return None


async def judge(candidate: Candidate, rules: Sequence[LoadedRule], models: Models) -> Verdict | None:
    """The first rejection among `rules`, or None. What a rule raises is a rejection of its own kind, `error`."""
    for rule in rules:
        if not isinstance(rule.plugin, Eliminator):
            continue
        try:
            verdict = await rule.plugin.judge(candidate, models)
            if not isinstance(verdict, Verdict):
                raise TypeError(f"returned {verdict!r:.80}, expected a Verdict")
        except (EngineError, LedgerError, UserError):
            raise
        except Exception as error:
            return Verdict(False, ERROR, detail=f"rule `{rule.name}`: {type(error).__name__}: {error}"[:2000])
        if not verdict.kept:
            return replace(verdict, rule=rule.name)
    return None
