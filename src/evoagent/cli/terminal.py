"""All text on its way out: strange characters made visible, and standard streams whose failures end no run."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import sys
from typing import Any, TextIO

from typing_extensions import Buffer

from evoagent.errors import EvoAgentError

# What moves the cursor, sets colours and titles, or turns the direction of a line; and what no encoding has.
_STRANGE = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]|\r(?!\n)")


# The password of an address, wherever somebody has put one.
_LOGIN = re.compile(r"(?<=://)[^\s/@:]*:[^\s/@]*@")


def visible(text: str) -> str:
    r"""`text` with control characters, changes of direction and half surrogate pairs as `\x1b` or `\u202e`.

    A message is no place for the password of an address either.
    """
    text = _LOGIN.sub("***@", text)
    return _STRANGE.sub(lambda found: ascii(found[0])[1:-1], text)


def write(text: object, end: str = "\n") -> None:
    """Write data for a reader to standard output."""
    print(visible(str(text)), end=end, flush=True)


def write_json(value: Any, indent: int | None = None) -> None:
    """Write a JSON document to standard output."""
    print(_escaped(json.dumps(value, ensure_ascii=False, indent=indent)), flush=True)


def tell(text: object, end: str = "\n") -> None:
    """Write a message to standard error."""
    print(visible(str(text)), end=end, file=sys.stderr, flush=True)


def log_to_stderr(format: str = "%(levelname)s %(name)s: %(message)s") -> None:
    """Have log records written as messages."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter(format))
    logging.basicConfig(handlers=[handler])


class JsonLines(io.StringIO):
    """A file of JSON that goes to standard output, wherever that of plugins goes meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self._stream = sys.stdout

    def write(self, text: str) -> int:
        """Write JSON as `write_json` does."""
        return self._stream.write(_escaped(text))


def open_streams() -> None:
    """Open the standard streams that are closed, and have an answer to the failures of those that are written."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # It opens under the lowest free number, which is this one. Left free, it would become the ledger's, and
            # what a C library prints would land there.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.stdin = sys.stdin or os.fdopen(0)
    # Other streams than the process's own belong to whoever has called us, such as a test.
    if sys.stdout is sys.__stdout__:
        sys.stdout = _stream(_Data(1, "w", closefd=False), sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _stream(_Messages(2, "w", closefd=False), sys.stderr)


def _stream(raw: io.FileIO, like: TextIO | None) -> TextIO:
    encoding = like.encoding if like is not None else None
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=True)


class _Data(io.FileIO):
    """Standard output: what cannot be written ends the command, once; what Python flushes after that goes nowhere."""

    _ended = False

    def write(self, data: Buffer) -> int:
        if not self._ended:
            try:
                return super().write(data)
            except BrokenPipeError:
                self._ended = True
                raise SystemExit(0) from None  # whoever reads has seen enough
            except OSError as error:
                self._ended = True
                raise EvoAgentError(f"standard output: {error.strerror}") from error
        return memoryview(data).nbytes


class _Messages(io.FileIO):
    """Standard error: what cannot be written is dropped. A message is not worth a run."""

    def write(self, data: Buffer) -> int:
        try:
            return super().write(data) or memoryview(data).nbytes  # nothing: it is full, and does not block
        except OSError:
            return memoryview(data).nbytes


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


def _escaped(text: str) -> str:
    """JSON that reads as the same value; what else is strange is escaped in it already."""
    return _STRANGE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
