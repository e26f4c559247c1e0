"""What evoagent raises. Each error says what is wrong, where, and what was expected."""

from __future__ import annotations


class EvoAgentError(Exception):
    """Base of every error that is not a bug. `exit_code` is what the command line ends with."""

    exit_code = 1


class UserError(EvoAgentError):
    """The user's input is wrong: a configuration, a path, an option."""

    exit_code = 2


class ConfigError(UserError):
    """The configuration is not valid."""


class DataError(UserError):
    """A dataset cannot be read: broken, empty, or without the columns that are needed."""


class ModelSourceError(UserError):
    """A model cannot be found, fetched or verified."""


class PluginError(UserError):
    """A plugin that the run names is missing, or is not what it says."""


class LedgerError(EvoAgentError):
    """The ledger cannot be read or written, for example because the disk is full."""


class EngineError(EvoAgentError):
    """A whole engine fails: nothing that is sent to it can succeed. The run stops and can be resumed."""


class TransientError(EvoAgentError):
    """A request failed for a reason that may pass. The dispatcher retries it.

    Attributes:
        retry_after: seconds that the server asked to wait, or None.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RequestError(EvoAgentError):
    """One request can never succeed, for example because its prompt is too long for the model."""
