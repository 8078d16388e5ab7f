"""Checkpoints of a run by orbax: the state of training and its history, whole or not at all."""

import contextlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax

from bp_lab.errors import InputError
from bp_lab.runs import folder
from manual_bp.train import State

KEPT = 2


class Snapshot(NamedTuple):
    """Training after a whole number of epochs."""

    epoch: int
    state: State
    history: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run; the last ones are kept."""

    def __init__(self, run: Path) -> None:
        import orbax.checkpoint as ocp

        logging.getLogger("absl").setLevel(logging.CRITICAL)
        _hide_late_reads()
        self._ocp = ocp
        self._path = (run / folder.CHECKPOINTS).absolute()
        options = ocp.CheckpointManagerOptions(
            max_to_keep=KEPT, enable_async_checkpointing=False, create=True
        )
        self._manager = ocp.CheckpointManager(self._path, options=options)

    def save(self, snapshot: Snapshot) -> None:
        """Write a snapshot; until it is whole, the one before it is what `latest` finds."""
        args = self._ocp.args
        self._manager.save(
            snapshot.epoch,
            args=args.Composite(
                state=args.StandardSave(_on_disk(snapshot.state)),
                history=args.JsonSave(snapshot.history),
            ),
        )

    def latest(self, like: State) -> Snapshot | None:
        """Return the last whole snapshot, its state in the structure of `like`; None without one.

        Raises:
          InputError: the checkpoint is damaged, or of another network.
        """
        epoch = self._manager.latest_step()
        if epoch is None:
            return None
        args = self._ocp.args
        shapes = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), _on_disk(like)
        )
        try:
            found = self._manager.restore(
                epoch,
                args=args.Composite(state=args.StandardRestore(shapes), history=args.JsonRestore()),
            )
        except Exception as error:  # noqa: BLE001  orbax and tensorstore raise many kinds
            reason = str(error).strip().splitlines() or [type(error).__name__]
            expected = "a checkpoint of this run's network"
            place = str(self._path / str(epoch))
            raise InputError("checkpoint", place, expected, reason[0][:200]) from None
        return Snapshot(epoch, like._replace(**found.state), found.history)

    def close(self) -> None:
        """Release what orbax holds."""
        self._manager.close()


def _on_disk(state: State) -> dict[str, Any]:
    """Return the state as it is saved: without what was (), as in older runs."""
    parts, optional = state._asdict(), ("model", "scale")
    return {name: parts[name] for name in parts if name not in optional or parts[name] != ()}


def _hide_late_reads() -> None:
    """Keep quiet about reads that end after the restore they belonged to has failed.

    orbax closes its event loop when one read fails; the threads of the others then find it closed,
    and Python would print their tracebacks beside the one message that matters.
    """
    before = sys.unraisablehook
    if getattr(before, "hides_late_reads", False):
        return

    def hook(unraisable: Any) -> None:
        error = unraisable.exc_value
        if not (isinstance(error, RuntimeError) and str(error) == "Event loop is closed"):
            before(unraisable)

    hook.hides_late_reads = True  # type: ignore[attr-defined]
    sys.unraisablehook = hook


@contextlib.contextmanager
def opened(run: Path) -> Iterator[Checkpoints]:
    """Yield the checkpoints of a run, and close them."""
    checkpoints = Checkpoints(run)
    try:
        yield checkpoints
    finally:
        checkpoints.close()
