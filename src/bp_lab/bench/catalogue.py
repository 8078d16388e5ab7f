"""What can be measured: the ops of the registry at their sizes, and the models."""

from collections.abc import Iterator, Sequence

from bp_lab.bench import deep_stacks, models, ops
from bp_lab.bench.contest import Subject


def subjects(names: Sequence[str], kinds: Sequence[str], dtypes: Sequence[str]) -> list[Subject]:
    """Return what the filters leave: of a name that contains one of `names`, or all; by dtype."""
    return [
        subject
        for dtype in dtypes
        for subject in _every(dtype)
        if (not names or any(name in subject.name for name in names))
        and (not kinds or subject.kind in kinds)
    ]


def known() -> list[str]:
    """Return the name of everything that can be measured."""
    return list(dict.fromkeys(subject.name for subject in _every("float32")))


def _every(dtype: str) -> Iterator[Subject]:
    yield from ops.subjects(dtype)
    yield from models.subjects(dtype)
    yield from deep_stacks.subjects(dtype)
