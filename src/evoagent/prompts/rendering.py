"""Jinja templates that others wrote, rendered within bounds: one with an endless loop ends in an error, not in a hang.

Design decisions:

- The parsed template is changed before it is compiled: each turn of a loop, each call of a macro, each piece of text
  and each value that grows is passed through a filter whose name no template can spell. So whitespace control, scopes
  and line numbers stay what they were.
- What one operation alone could blow up (`'x' * 10**10`, `|center(10**10)`, `'%9999999d'`) is refused by the size of
  its operands, before it is done.
- Nothing is computed while a template is compiled (`optimized=False`): a bound counts renderings.
"""

from __future__ import annotations

import json
import logging
import math
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from functools import lru_cache, wraps
from types import BuiltinMethodType
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, meta, nodes, pass_context
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context, Macro
from jinja2.sandbox import MAX_RANGE, ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from evoagent.errors import ConfigError, EvoAgentError

logger = logging.getLogger(__name__)

MAX_SOURCE = 100_000
"""Characters of a template. Compiling takes about 20 µs each."""
MAX_STEPS = 200_000
"""Turns of loops, calls and values that are computed."""
MAX_CHARACTERS = 20_000_000
"""Characters of all texts that are made on the way, list items counted as well."""
MAX_SECONDS = 5.0
"""Of the thread's own time, so that a busy machine refuses nothing."""

_MAX_PRODUCT = 1_000_000_000  # what two operands may make before the result is looked at
_MAX_BITS = 10_000
_WIDE = re.compile(r"\d{7}|%[-+ #0]*\*|\.\*")  # of a format: a width of millions, or one out of the arguments
_VALUE, _TEXT = "counted value", "counted text"  # filters that no template can name


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
        if time.thread_time() > self._end:
            raise _Excess(f"found a rendering of more than {MAX_SECONDS:g} seconds, the most that is allowed")


_spent: ContextVar[_Spent] = ContextVar("what this rendering has used")


def _count(value: Any) -> Any:
    _spent.get().add(_size(value))
    return value


@pass_context  # a filter that takes the context is never computed while compiling
def _count_value(context: Context, value: Any) -> Any:
    return _count(value)


@pass_context
def _count_text(context: Context, characters: int) -> None:
    _spent.get().add(characters)


def _size(value: object) -> int:
    """Characters of `value` as often as printing it would show them, and 16 for each item; stops after the bound."""
    size, waiting = 0, [value]
    while waiting and size <= MAX_CHARACTERS:
        item = waiting.pop()
        size += 16
        if isinstance(item, (str, bytes)):
            size += len(item)
        elif isinstance(item, Mapping):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, Collection) and not isinstance(item, range):
            waiting += item
        elif isinstance(item, int):
            size += item.bit_length() // 3
    return size


def _check_product(sizes: Iterable[int], most: int = _MAX_PRODUCT) -> None:
    """No operation makes more than the product of its two largest operands."""
    if math.prod(sorted(sizes)[-2:]) > most:
        raise _Excess(f"found an operation that may make more than {most} characters, the most that is allowed")


def _operand(value: object) -> int:
    """The size of an operand; a number's is itself, since it may be a width."""
    if isinstance(value, int):
        return max(1, abs(value))
    if isinstance(value, str):
        return max(1, len(value))
    return MAX_RANGE if isinstance(value, (range, Iterator)) else _size(value)


def _check_format(text: object) -> None:
    if isinstance(text, str) and (found := _WIDE.search(text)):
        raise _Excess(f"found the width {found[0]} in a format, expected a number of at most 6 digits")


def _bounded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    first = int(hasattr(function, "jinja_pass_arg"))  # what is filtered may come after a context

    @wraps(function)  # keeps that mark
    def bounded(*args: Any, **kwargs: Any) -> Any:
        filtered = "" if isinstance(args[first], int) else args[first]  # a number there is no width
        _check_product(map(_operand, (filtered, *args[first + 1 :], *kwargs.values())))
        if name == "format":
            _check_format(args[first])
        if name == "sum":  # of lists, it copies what it has for every item
            args = (args[0], map(_count, args[1]), *args[2:])
        return _count(function(*args, **kwargs))

    return bounded


def _timed(test: Any) -> Callable[..., Any]:
    @wraps(test)
    def timed(*args: Any, **kwargs: Any) -> Any:
        return _count(test(*args, **kwargs))

    return timed


class _Namespace(Namespace):
    def __repr__(self) -> str:  # what others hold in turn would be shown again and again
        return "<Namespace>"


class _Environment(ImmutableSandboxedEnvironment):
    """What both kinds of templates have in common."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, **options: Any) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, optimized=False, **options)
        self.filters = {name: _bounded(name, function) for name, function in self.filters.items()}
        self.filters |= {_VALUE: _count_value, _TEXT: _count_text}
        self.tests = {name: _timed(test) for name, test in self.tests.items()}
        self.globals["namespace"] = _Namespace
        del self.globals["lipsum"]  # text of any length, out of a number

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute, after a look at how large the result can be."""
        numbers = isinstance(left, int) and isinstance(right, int)
        if numbers and operator in ("*", "**"):
            bits = left.bit_length() * right if operator == "**" else left.bit_length() + right.bit_length()
            if bits > _MAX_BITS:
                raise _Excess(f"found a number of more than {_MAX_BITS} bits, the most that is allowed")
        elif operator == "*":
            _check_product((_operand(left), _operand(right)), MAX_CHARACTERS)
        elif operator == "%":
            _check_format(left)
        return _count(super().call_binop(context, operator, left, right))

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call, after a look at how large the result of a text's method can be."""
        method = getattr(__obj, "__wrapped__", __obj)  # `format` comes wrapped
        if isinstance(method, BuiltinMethodType):
            _check_product(map(_operand, (method.__self__, *args, *kwargs.values())))
            if method.__name__ in ("format", "format_map"):
                _check_format(method.__self__)
        return _count(super().call(__context, __obj, *args, **kwargs))


class _Counting(NodeTransformer):
    """Makes a parsed template count what it does."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        self._starting(node)
        if node.test is not None:
            node.test = _through(_VALUE, node.test)
        return node

    def _starting(self, node: Any) -> nodes.Node:
        self.generic_visit(node)
        node.body.insert(0, _text(0, node))
        return node  # type: ignore[no-any-return]

    visit_Macro = visit_CallBlock = _starting

    def visit_Output(self, node: nodes.Output) -> list[nodes.Node]:
        self.generic_visit(node)
        characters = sum(len(child.data) for child in node.nodes if isinstance(child, nodes.TemplateData))
        node.nodes = [
            child if isinstance(child, nodes.TemplateData) else _through(_VALUE, child) for child in node.nodes
        ]
        return [_text(characters, node), node]

    def _growing(self, node: nodes.Expr) -> nodes.Node:
        self.generic_visit(node)
        return _through(_VALUE, node)

    visit_Concat = visit_Compare = visit_List = visit_Dict = _growing

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:
        return self._growing(node) if node.ctx == "load" else node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        return self._growing(node) if isinstance(node.arg, nodes.Slice) else self.generic_visit(node)


def _through(counter: str, node: nodes.Node) -> nodes.Filter:
    return nodes.Filter(node, counter, [], [], None, None, lineno=node.lineno)


def _text(characters: int, near: nodes.Node) -> nodes.ExprStmt:
    number = nodes.Const(characters, lineno=near.lineno)
    return nodes.ExprStmt(_through(_TEXT, number), lineno=near.lineno)


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
_CHATS.filters["tojson"] = _bounded("tojson", _tojson)
_CHATS.globals |= {"raise_exception": _raise_exception, "strftime_now": _strftime_now}
