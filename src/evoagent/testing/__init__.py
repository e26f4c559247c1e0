"""For tests of evoagent and of plugins: a scripted engine that needs no weights."""

from evoagent.models.engines.scripted import Script, ScriptedEngine

__all__ = ["Script", "ScriptedEngine"]
