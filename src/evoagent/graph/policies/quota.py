"""How many may survive, whatever rules and selector say: a policy of one method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from evoagent.records import Verdict

RULE = "quota"  # of the verdicts that follow from it


class Quota(Protocol):
    """Bounds the survivors of a round."""

    def over(self, kept: int) -> Verdict | None:
        """The rejection of one more survivor of the round beside `kept` others; None if there is room."""
        ...


@dataclass(frozen=True, slots=True)
class Unlimited:
    """Everything that is kept survives."""

    def over(self, kept: int) -> Verdict | None:
        """See `Quota`."""
        return None


@dataclass(frozen=True, slots=True)
class Places:
    """As many as the wish for N survivors leaves; first come, first served.

    Attributes:
        left: N less the survivors of the rounds before.
    """

    left: int

    def over(self, kept: int) -> Verdict | None:
        """See `Quota`."""
        places = max(self.left, 0)
        if kept < places:
            return None
        return Verdict(False, RULE, float(places), float(self.left), "as many survivors as asked for")
