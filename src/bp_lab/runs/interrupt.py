"""Ctrl-C during a run: the epoch under way is finished and saved, then the run stops."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType


class Interrupted(Exception):  # noqa: N818
    """The run was stopped by the user, after whole epochs that are saved."""

    def __init__(self, out: Path, epochs: int) -> None:
        super().__init__(f"stopped after {epochs} epochs")
        self.out, self.epochs = out, epochs


@dataclass
class Stop:
    """Whether the user asked the run to stop."""

    asked: bool = False


@contextlib.contextmanager
def stop_on_interrupt() -> Iterator[Stop]:
    """Yield what tells that Ctrl-C was pressed; a second Ctrl-C stops at once."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.getsignal(signal.SIGINT)

    def ask(_number: int, _frame: FrameType | None) -> None:
        stop.asked = True
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
