"""Constraint back-translation for evoagent: adds constraints to an instruction that its response already meets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from evoagent import OperatorSpec, RuleSpec, hookimpl
from evoagent_backtranslation.config import OPERATOR, RULE, BackTranslationConfig, ConstraintsMetConfig

if TYPE_CHECKING:
    from evoagent_backtranslation.operator import BackTranslation
    from evoagent_backtranslation.rule import ConstraintsMet

__all__ = ["BackTranslationConfig", "ConstraintsMetConfig", "evoagent_operators", "evoagent_rules"]


@hookimpl
def evoagent_operators() -> Iterator[OperatorSpec]:
    """The operator `back-translation`, which asks no model."""
    yield OperatorSpec(
        name=OPERATOR,
        factory=_operator,
        summary="adds constraints that the existing response already meets, and keeps the response",
        config=BackTranslationConfig,
        # Both measure by a model what is written and verified in code here, and mistake one constraint in two.
        exempt=("not_an_instruction", "relevance"),
    )


@hookimpl
def evoagent_rules() -> Iterator[RuleSpec]:
    """The rule `constraints-met`, which reads the constraints back and verifies them."""
    yield RuleSpec(
        name=RULE,
        factory=_rule,
        summary="rejects responses that break a constraint of their instruction, verified in code",
        config=ConstraintsMetConfig,
        looks_at="response",
    )


def _operator(config: BackTranslationConfig) -> BackTranslation:
    from evoagent_backtranslation.operator import BackTranslation

    return BackTranslation(config)


def _rule(config: ConstraintsMetConfig) -> ConstraintsMet:
    from evoagent_backtranslation.rule import ConstraintsMet

    return ConstraintsMet(config)
