"""Jinja templates that others wrote, rendered within bounds: one with an endless loop ends in an error, not in a hang.

The parsed template is changed before it is compiled: each turn of a loop, each call of a macro, and each text that is
put together passes a filter whose name no template can spell. So whitespace control, scopes and line numbers stay what
they were.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterator, Mapping, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, meta, nodes, pass_context
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from evoagent.errors import ConfigError, EvoAgentError

logger = logging.getLogger(__name__)

MAX_SOURCE = 100_000
"""Characters of a template. Compiling takes about 20 µs each."""
MAX_STEPS = 200_000
"""Turns of loops, calls of macros and texts that are put together."""
MAX_CHARACTERS = 20_000_000
"""Characters of all texts that are put together on the way."""
MAX_SECONDS = 5.0
"""Of the thread's own time, so that a busy machine refuses nothing."""

_COUNTED = "counted text"  # a filter that no template can name


class RenderError(EvoAgentError):
    """A template that is not valid, or goes beyond a bound. The message names it."""


def render_prompt(source: str, values: Mapping[str, str], where: str) -> str:
    """Fill the template of a prompt; what surrounds the text is stripped.

    Args:
        values: what the template may use; they are data, and are never read as template.
        where: the template, as messages name it.

    Raises:
        RenderError: it is not valid, or goes beyond a bound.
        Exception: whatever else the template does wrong.
    """
    return _render(_PROMPTS, source, values, where).strip()


def render_chat_template(source: str, values: Mapping[str, Any], where: str) -> str:
    """Render a model's chat template to what transformers renders; arguments and errors as with `render_prompt`."""
    return _render(_CHATS, source, values, where)


def check_prompt(source: str, values: Mapping[str, str], where: str) -> set[str]:
    """Fill the template of a prompt on trial, so that one that never ends is refused before a run; see `render_prompt`.

    Returns:
        The variables that it uses. Whether others than `values` are among them, it is for the caller to say.

    Raises:
        ConfigError: it is not valid, or goes beyond a bound.
    """
    try:
        render_prompt(source, values, where)
    except RenderError as error:
        raise ConfigError(str(error)) from error
    except Exception:  # of these values; others may do
        logger.debug("%s cannot be filled on trial", where, exc_info=True)
    return meta.find_undeclared_variables(_PROMPTS.parse(source))


def _render(environment: _Environment, source: str, values: Mapping[str, Any], where: str) -> str:
    running = _spent.set(_Spent())
    try:
        with _named(where):
            return _compiled(environment, source).render(values)
    finally:
        _spent.reset(running)


@contextmanager
def _named(where: str) -> Iterator[None]:
    """Tell by its name of a template that cannot be used."""
    try:
        yield
    except TemplateSyntaxError as error:
        raise RenderError(f"{where}: not a valid template, line {error.lineno}: {error.message}") from error
    except (_Excess, OverflowError) as error:  # Jinja's own bound on `range` is an OverflowError
        raise RenderError(f"{where}: {error}") from error
    except (RecursionError, SyntaxError) as error:  # Python itself nests 20 loops at most
        raise RenderError(f"{where}: found a template that is nested, or calls itself, too deeply") from error
    except MemoryError as error:
        raise RenderError(f"{where}: found a template that needs more memory than there is") from error


LONG = 1000  # characters after which a step may have taken its time


class _Excess(Exception):
    """A bound is passed."""


class _Spent:
    """What one rendering has used."""

    def __init__(self) -> None:
        self._steps = self._characters = 0
        self._end = time.thread_time() + MAX_SECONDS

    def add(self, characters: int) -> None:
        self._steps += 1
        self._characters += characters
        if self._steps > MAX_STEPS:
            raise _Excess(f"found more than {MAX_STEPS} turns of loops and calls, the most that is allowed")
        if self._characters > MAX_CHARACTERS:
            raise _Excess(f"found more than {MAX_CHARACTERS} characters of text, the most that is allowed")
        # Asking for the time costs more than most steps do.
        if (characters > LONG or self._steps % 64 == 0) and time.thread_time() > self._end:
            raise _Excess(f"found a rendering of more than {MAX_SECONDS:g} seconds, the most that is allowed")


_spent: ContextVar[_Spent] = ContextVar("what this rendering has used")


@pass_context  # a filter that takes the context is never computed while compiling
def _count(context: Context, value: Any) -> Any:
    _spent.get().add(len(value) if isinstance(value, (str, list, tuple)) else 0)
    return value


class _Environment(ImmutableSandboxedEnvironment):
    """What both kinds of templates have in common."""

    intercepted_binops = frozenset({"+", "*", "**"})

    def __init__(self, **options: Any) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, **options)
        self.filters[_COUNTED] = _count
        del self.globals["lipsum"]  # text of any length, out of a number

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute, after a look at how large the result can be."""
        size = _size(operator, left, right)
        if size > MAX_CHARACTERS:
            raise _Excess(f"found an operation {operator} of size {size}, expected at most {MAX_CHARACTERS}")
        return _count(context, super().call_binop(context, operator, left, right))


def _size(operator: str, left: Any, right: Any) -> int:
    """About how many bits, characters or items the result has."""
    if isinstance(left, int) and isinstance(right, int):
        return left.bit_length() * (abs(right) if operator == "**" else 1) + right.bit_length()
    sizes = [
        value if isinstance(value, int) else len(value) for value in (left, right) if isinstance(value, (int, Sized))
    ]
    return math.prod(sizes) if operator == "*" else sum(sizes)


class _Counting(NodeTransformer):
    """Makes a parsed template count what it does."""

    def _starting(self, node: Any) -> nodes.Node:
        self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(_counted(nodes.Const("", lineno=node.lineno)), lineno=node.lineno))
        return node  # type: ignore[no-any-return]

    visit_For = visit_Macro = visit_CallBlock = _starting

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _counted(node)

    def visit_Output(self, node: nodes.Output) -> nodes.Node:
        self.generic_visit(node)
        node.nodes = [_counted(child) for child in node.nodes]
        return node


def _counted(node: nodes.Node) -> nodes.Filter:
    return nodes.Filter(node, _COUNTED, [], [], None, None, lineno=node.lineno)


@lru_cache(maxsize=256)
def _compiled(environment: _Environment, source: str) -> Template:
    if len(source) > MAX_SOURCE:
        raise _Excess(f"found a template of {len(source)} characters, expected at most {MAX_SOURCE}")
    tree = _Counting().visit(environment.parse(source))
    return environment.from_string(tree.set_environment(environment))


class _Generation(Extension):
    """`{% generation %}`, which marks what the assistant says; transformers renders its content as it stands."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_content"), [], [], body).set_lineno(line)

    def _content(self, caller: Macro) -> str:
        return caller()


def _tojson(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


def _strftime_now(layout: str) -> str:
    return datetime.now().strftime(layout)


_PROMPTS = _Environment(undefined=StrictUndefined)
_CHATS = _Environment(extensions=[_Generation, loopcontrols])
# As transformers.utils.chat_template_utils has them; Jinja's own `tojson` escapes HTML.
_CHATS.filters["tojson"] = _tojson
_CHATS.globals |= {"raise_exception": _raise_exception, "strftime_now": _strftime_now}
