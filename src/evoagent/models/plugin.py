"""What the class of a plugin declares. It lies here, below all that plugins are made of, engines included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from pydantic import BaseModel

API_VERSION = 1


class Plugin:
    """The base of operators, scorers, rules, selectors, optimizers and engines: what their classes declare.

    Attributes:
        kind: such as "operator"; the base class of each kind has it.
        name: what configurations call it: lower case, digits, "_" and "-". Every plugin gives one.
        summary: a line for listings; by default the first line of the class's docstring.
        needs: role and verb pairs that it calls, such as "scorer.loss"; checked before any model loads.
        Config: a pydantic model of its parameters, valid under its name in a configuration; None: it takes none.
        api_version: of the interface that it is written for; any other than that of the installed evoagent is refused.
        config: of an instance: its parameters, an instance of `Config`; None where it takes none.
    """

    kind: ClassVar[str]
    name: ClassVar[str]
    summary: ClassVar[str] = ""
    needs: ClassVar[tuple[str, ...]] = ()
    Config: ClassVar[type[BaseModel] | None] = None
    api_version: ClassVar[int] = API_VERSION

    config: Any

    def __init__(self, config: Any = None) -> None:
        """A class that defines its own takes `config` too, if it has a `Config`, and else nothing.

        Args:
            config: the parameters; left out, the defaults of `Config`.
        """
        self.config = self.Config() if config is None and self.Config is not None else config
