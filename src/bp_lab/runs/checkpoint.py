"""Checkpoints of a run by orbax: the state of training and its history, whole or not at all."""

import contextlib
import logging
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax

from bp_lab.errors import InputError
from bp_lab.runs import folder
from manual_bp.train import State

KEPT = 2
PATTERNS = "[]\\"  # what orbax, when it reads, takes for more than a character of a path


class Snapshot(NamedTuple):
    """Training after a whole number of epochs."""

    epoch: int
    state: State
    history: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run; the last ones are kept."""

    def __init__(self, path: Path, shown: Path) -> None:
        """Open the checkpoints at `path`, an absolute one, which errors name as `shown`."""
        import orbax.checkpoint as ocp

        logging.getLogger("absl").setLevel(logging.CRITICAL)
        _hide_late_reads()
        self._ocp, self._shown = ocp, shown
        options = ocp.CheckpointManagerOptions(
            max_to_keep=KEPT, enable_async_checkpointing=False, create=True
        )
        with self._expecting(shown, "a folder that can be read"):
            self._manager = ocp.CheckpointManager(path, options=options)

    def save(self, snapshot: Snapshot) -> None:
        """Write a snapshot; until it is whole, the one before it is what `latest` finds.

        Raises:
          InputError: it cannot be written.
        """
        args = self._ocp.args
        with self._expecting(self._shown, "a folder that can be written, with room in it"):
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
        with self._expecting(self._shown / str(epoch), "a checkpoint of this run's network"):
            found = self._manager.restore(
                epoch,
                args=args.Composite(state=args.StandardRestore(shapes), history=args.JsonRestore()),
            )
        return Snapshot(epoch, like._replace(**found.state), found.history)

    def close(self) -> None:
        """Release what orbax holds."""
        self._manager.close()

    @staticmethod
    @contextlib.contextmanager
    def _expecting(place: Path, expected: str) -> Iterator[None]:
        """Turn what orbax raises into an InputError of one line."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  orbax and tensorstore raise many kinds
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise InputError("checkpoint", str(place), expected, reason[0][:200]) from None


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
    """Yield the checkpoints of a run, and close them.

    Raises:
      InputError: the folder cannot be used.
    """
    with contextlib.ExitStack() as stack:
        reached = run = run.absolute()
        if any(character in str(run) for character in PATTERNS):
            reached = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "run"
            reached.symlink_to(run, target_is_directory=True)
        checkpoints = Checkpoints(reached / folder.CHECKPOINTS, run / folder.CHECKPOINTS)
        stack.callback(checkpoints.close)
        yield checkpoints
