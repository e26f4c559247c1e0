"""Constraint back-translation for evoagent: adds constraints to an instruction that its response already meets."""

from __future__ import annotations

from collections.abc import Iterator

from evoagent import hookimpl
from evoagent_backtranslation.operator import BackTranslation
from evoagent_backtranslation.rule import ConstraintsMet

__all__ = ["BackTranslation", "ConstraintsMet", "evoagent_operators", "evoagent_rules"]


@hookimpl
def evoagent_operators() -> Iterator[type[BackTranslation]]:
    """The operator `back-translation`, which asks no model."""
    yield BackTranslation


@hookimpl
def evoagent_rules() -> Iterator[type[ConstraintsMet]]:
    """The rule `constraints-met`, which reads the constraints back and verifies them."""
    yield ConstraintsMet
