"""What identifies a run, and what decides its dataset."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from evoagent.config.model import RunConfig


def fingerprint(config: RunConfig) -> str:
    """What a run directory is tied to: another fingerprint is refused in it.

    Whether its last run goes on, or a new one begins over the same log, is decided by `decisions`. What is taken out
    may change without making it another run: every answer in the request log stays valid, and decisions are taken
    anew from it.
    """
    content = config.model_dump(mode="json")
    if config.seeds.form == "instructions":  # the only form once: directories of that time stay what they are
        content["seeds"].pop("form")
    for role in content["models"].values():
        if role is not None:
            role.pop("options")  # memory, threads, addresses; what changes answers is in the engine's identity
    stages = content.pop("stages")
    for part in (content, *stages):
        for path in NOT_IDENTITY:
            section, _, key = path.rpartition(".")
            (part.get(section) or {} if section else part).pop(key, None)
    if stages:
        content["stages"] = stages
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


NOT_IDENTITY = (
    "seeds.path",  # the seeds themselves are compared
    "corpora",  # what their rows say is among the versions that decide
    "evolver.prompts",  # what the files say is in the operators' versions
    "name",  # a label
    "output",  # where, not what
    "eliminator",  # thresholds and rules decide on scores that are in the ledger already
    "critic",  # a scorer more or less asks for what is missing only
    "optimizer",  # what it makes of an operator is in the candidates' identifiers
    "stop",  # a run may go on for longer
    "review",  # a person decides, as rules do
    "window",  # speed only
    "plugin_seconds",  # patience only
    "plugins",  # those that matter are named elsewhere in the configuration
)


def decisions(config: RunConfig, versions: Mapping[str, str]) -> str:
    """Fingerprint of everything that decides which rows survive; equal means the same dataset.

    Args:
        versions: of the plugins, models and corpora that `config` names.
    """
    speed = {"window": True, "plugin_seconds": True}
    paths: Any = {"seeds": {"path"}, "evolver": {"prompts"}, "stages": {"__all__": {"evolver": {"prompts"}}}}
    paths["corpora"] = True  # told by their versions
    content = config.model_dump(mode="json", exclude={"name": True, "output": True, **paths, **speed})
    for role in content["models"].values():
        if role is not None:
            role.pop("options")
    return hashlib.sha256(json.dumps([content, dict(versions)], sort_keys=True).encode()).hexdigest()[:16]
