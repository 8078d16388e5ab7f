"""The entry point `manual-bp`: what holds for the process, whichever command it runs.

Nothing that takes long is imported before Ctrl-C is listened to.
"""

import contextlib
import logging
import os
import sys
from collections.abc import Callable
from typing import Any, TextIO

from bp_lab import allocator
from bp_lab.errors import BAD_INPUT, INTERRUPTED, InputError


class _Outlet:
    """A stream whose reader may go away, as `head` does: what nobody reads is dropped."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        return self._do(self._stream.write, text)

    def flush(self) -> None:
        self._do(self._stream.flush)

    def _do(self, method: Callable[..., Any], *args: str) -> Any:
        try:
            return method(*args)
        except BrokenPipeError:
            with open(os.devnull, "wb") as nowhere:  # noqa: PTH123  it is no path
                os.dup2(nowhere.fileno(), self._stream.fileno())
            return method(*args)


@contextlib.contextmanager
def _outliving_readers() -> Any:
    """Let a command end its work, and write its files, when nobody reads what it prints."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (stream and _Outlet(stream) for stream in before)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        sys.stdout, sys.stderr = before


def main() -> None:
    """Run the command line.

    Bad input, and what needs more memory than there is, end with one line and status 2, Ctrl-C with
    status 130, none of them with a traceback.
    """
    try:
        with _outliving_readers():
            _run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _run() -> None:
    from bp_lab.app import app

    allocator.keep_pages()
    logging.basicConfig(format="%(message)s")  # warnings are one line each, as errors are
    try:
        app()
    except (MemoryError, RuntimeError, ValueError) as error:
        line = _what_can_be_mended(error)
        if line is None:
            raise
        print(line, file=sys.stderr)
        sys.exit(BAD_INPUT)


def _what_can_be_mended(error: Exception) -> str | None:
    """Return the line that tells a person what to change; None where the mistake is ours."""
    from jax.errors import JaxRuntimeError

    from jax_ref.errors import CheckError

    if isinstance(error, InputError | CheckError):
        return str(error)
    first = str(error).partition("\n")[0]
    exhausted = isinstance(error, JaxRuntimeError) and first.startswith("RESOURCE_EXHAUSTED")
    if exhausted or isinstance(error, MemoryError):
        return str(InputError("manual-bp", "memory", "enough for these settings", first))
    return None
