"""The plugin system: hooks, the specs of what they yield, and the manager that finds them."""

from evoagent.plugins.hookspecs import hookimpl
from evoagent.plugins.manager import KINDS, PluginManager, PluginRecord

__all__ = ["KINDS", "PluginManager", "PluginRecord", "hookimpl"]
