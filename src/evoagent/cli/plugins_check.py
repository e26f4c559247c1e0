"""What `evoagent plugins check` does once its options are known."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from evoagent.cli.terminal import tell, write, write_json
from evoagent.config.overrides import apply
from evoagent.errors import UserError
from evoagent.testing.checking.check import check_package
from evoagent.testing.checking.package import find_package


def check_command(name: str, settings: Sequence[str], model: str | None, limit: float, *, as_json: bool) -> None:
    """Check a package, a line for each check; ends with 1 if one of them failed."""
    values, params = find_package(name), _params(settings)
    findings = []
    for finding in check_package(values, params=params, model=model, limit=limit):
        findings.append(finding)
        if not as_json:
            write(finding)
    errors = sum(finding.severity == "error" for finding in findings)
    if as_json:
        write_json([asdict(finding) for finding in findings])
    else:
        notes = sum(finding.severity == "note" for finding in findings)
        tell(f"{len(findings)} checks, {errors} failed, {notes} notes")
    if errors:
        sys.exit(1)


def _params(settings: Sequence[str]) -> dict[str, dict[str, Any]]:
    given = apply({}, settings)
    problems = list(map(str, given.problems))
    problems += [
        f"{name}: expected NAME.KEY=VALUE such as haiku.lines=3"
        for name, parameters in given.data.items()
        if not isinstance(parameters, dict)
    ]
    if problems:
        raise UserError("\n".join(f"--set {problem}" for problem in problems))
    found: dict[str, dict[str, Any]] = given.data
    return found
