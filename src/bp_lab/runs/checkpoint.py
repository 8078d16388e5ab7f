"""Checkpoints of a run by orbax: the state of training and its history, whole or not at all."""

import contextlib
import itertools
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
    """The checkpoints of one run; the last ones are kept, and all that are damaged."""

    def __init__(self, path: Path, shown: Path) -> None:
        """Open the checkpoints at `path`, an absolute one, which errors name as `shown`."""
        import orbax.checkpoint as ocp

        logging.getLogger("absl").setLevel(logging.CRITICAL)
        _hide_late_reads()
        self._ocp, self._path, self._shown = ocp, path, shown
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
            self._set_aside(snapshot.epoch)
            self._manager.save(
                snapshot.epoch,
                args=args.Composite(
                    state=args.StandardSave(_on_disk(snapshot.state)),
                    history=args.JsonSave(snapshot.history),
                ),
            )

    def latest(self, like: State) -> Snapshot | None:
        """Return the last snapshot that can be read, its state in the structure of `like`.

        Of each newer one that cannot, a line is logged. Without any checkpoint it is None.

        Raises:
          InputError: none can be read: they are damaged, or of another network.
        """
        unread: list[InputError] = []
        for epoch in sorted(self._manager.all_steps(), reverse=True):
            try:
                found = self._read(epoch, like)
            except InputError as error:
                unread.append(error)
                continue
            for damaged in unread:
                logging.getLogger(__name__).warning("%s", damaged)
            return found
        if unread:
            raise unread[0]
        return None

    def _read(self, epoch: int, like: State) -> Snapshot:
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

    def _set_aside(self, epoch: int) -> None:
        """Rename what stands in the place of a new checkpoint: `latest` could not read it."""
        unread = [step for step in self._manager.all_steps() if step >= epoch]
        for step in unread:
            names = (self._path / f"{step}.damaged-{number}" for number in itertools.count(1))
            (self._path / str(step)).rename(next(name for name in names if not name.exists()))
        if unread:
            self._manager.reload()

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
    or fail where nobody listens, and Python would print their tracebacks beside the one message
    that matters.
    """
    before = sys.unraisablehook
    if getattr(before, "hides_late_reads", False):
        return

    def hook(unraisable: Any) -> None:
        error = unraisable.exc_value
        if not (isinstance(error, RuntimeError) and str(error) == "Event loop is closed"):
            before(unraisable)

    def is_of_others(record: logging.LogRecord) -> bool:
        return not (record.exc_info and "tensorstore" in str(record.exc_info[1]))

    hook.hides_late_reads = True  # type: ignore[attr-defined]
    sys.unraisablehook = hook
    logging.getLogger("asyncio").addFilter(is_of_others)


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
