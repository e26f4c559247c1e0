"""Where the shipped prompts and configurations lie: in a source checkout, or inside an installed wheel."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from evoagent.errors import ConfigError

_SHARED = "_shared"


def prompts_dir() -> Path:
    """The folder of the shipped prompt files."""
    return _find("prompts")


def configs_dir() -> Path:
    """The folder of the shipped scenarios and their seeds."""
    return _find("configs")


def _find(name: str) -> Path:
    # A checkout comes first, so that an edited prompt is the one that runs; `pyproject.toml` tells it
    # from a `site-packages` whose grandparent happens to hold a folder of that name.
    package = Path(str(resources.files("evoagent")))
    checkout = package.parent.parent
    candidates = (checkout / name, package / _SHARED / name)
    if (checkout / "pyproject.toml").is_file() and candidates[0].is_dir():
        return candidates[0]
    if candidates[1].is_dir():
        return candidates[1]
    raise ConfigError(f"the shipped {name} are missing: found neither {candidates[0]} nor {candidates[1]}")
