"""What the check has to say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from evoagent.models.plugin import Plugin
from evoagent.plugins.specs import PluginSpec

Severity = Literal["ok", "note", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check of one plugin.

    Attributes:
        what: the check: "needs", "determinism" …
        where: the plugin: "operator `haiku`", or the module.
        severity: "error" makes the plugin invalid; a "note" is worth knowing.
        message: what was found, what was expected, and what to do; "" if all is well.
    """

    what: str
    where: str
    severity: Severity = "ok"
    message: str = ""

    def __str__(self) -> str:
        label = {"ok": "ok", "note": "note", "error": "failed"}[self.severity]
        return f"{label:<7} {self.what:<15} {self.where}" + (f": {self.message}" if self.message else "")


def place(item: PluginSpec | type[Plugin]) -> str:
    """How findings call the plugin of a spec or a class."""
    return f"{item.kind} `{getattr(item, 'name', None) or getattr(item, '__name__', '')}`"
