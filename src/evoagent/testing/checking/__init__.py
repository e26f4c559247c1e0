"""The author's check: is a plugin valid, robust, deterministic, and quick to import?"""

from evoagent.testing.checking.check import assert_valid_plugin, check_plugin
from evoagent.testing.checking.findings import Finding

__all__ = ["Finding", "assert_valid_plugin", "check_plugin"]
