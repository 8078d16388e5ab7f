"""A row to be measured: our program, and those of its peers, over the same numbers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bp_lab.bench import limits, measure
from bp_lab.bench.measure import Budget, Side, Spread
from bp_lab.bench.program import Compiled, Program
from bp_lab.bench.row import Row, memory_ratio

FORM_ROUNDS = 5  # to find the fastest form of a peer
# The threads of a pool stay awake for a moment after its last task, and would slow the other's.
TORCH_PAUSE = 0.002


@dataclass(frozen=True)
class Contest:
    """Our program and the others', with their arguments.

    Attributes:
      ours: hand-written.
      peers: what is differentiated by JAX, by the name of what it is written with.
      torch: what makes PyTorch's side; None where there is none.
      error_ratio: of the name of a peer, our rounding error over its; None where it is not known.
      products: the forms of nothing but the matrix products; none where they are not known.
    """

    ours: Program
    peers: Mapping[str, Program]
    torch: Callable[[], Side] | None = None
    error_ratio: Callable[[str], float | None] | None = None
    products: Mapping[str, Program] = field(default_factory=dict)


@dataclass(frozen=True)
class Subject:
    """What a row is about.

    Attributes:
      name: of the op's case, or of the model.
      kind: "op" or "model".
      size: its sizes and options, in words.
      dtype: of all arrays.
      prepare: what draws the arguments.
    """

    name: str
    kind: str
    size: str
    dtype: str
    prepare: Callable[[], Contest]


@dataclass(frozen=True)
class Settings:
    """How much is measured.

    Attributes:
      budget: of the pairs with JAX, and of those with PyTorch.
      compiles: how often both programs are compiled.
      accuracy: whether rounding errors are measured as well.
    """

    budget: Budget
    compiles: int
    accuracy: bool = True


@dataclass
class Notes:
    """What could not be measured, and why: one line each."""

    lines: list[str] = field(default_factory=list)

    def add(self, subject: Subject, what: str) -> None:
        """Add a line about a subject."""
        self.lines.append(f"{subject.name}, {subject.dtype}: {what}")


def measured(subject: Subject, settings: Settings, notes: Notes) -> Row:
    """Return the row of a subject."""
    contest = subject.prepare()
    ours = contest.ours.compile()
    product_flops = contest.ours.product_flops()
    beside: dict[str, Any] = {}
    if contest.peers:
        name, other = _fastest_form(contest.peers)
        product_flops = min(product_flops, contest.peers[name].product_flops())
        beside = {"peer": name, **_beside_peer(ours, other, contest, name, settings)}
        if contest.products:
            _, products = _fastest_form(contest.products)
            times = measure.in_turn(products, other, settings.budget)
            beside["products_ratio"] = Spread.of(times).middle
        if settings.accuracy and contest.error_ratio is not None:
            beside["error_ratio"] = contest.error_ratio(name)
    else:
        notes.add(subject, "no peer: what it is written with is not installed")
        alone = np.asarray([ours.run() for _ in range(measure.WARM_UP + settings.budget.least)])
        beside = {
            "seconds": float(np.median(alone[measure.WARM_UP :])),
            "compile_seconds": ours.compile_seconds,
            "pairs": 0,
        }
    if contest.torch is not None:
        beside |= _beside_torch(subject, ours, contest.torch, settings, notes)
    floor = limits.floor(product_flops, ours.moved_bytes, subject.dtype)
    return Row(
        name=subject.name,
        kind=subject.kind,
        size=subject.size,
        dtype=subject.dtype,
        floor_seconds=floor,
        limit_share=floor / beside["seconds"],
        temporary_bytes=ours.temporary_bytes,
        moved_bytes=ours.moved_bytes,
        flops=ours.flops,
        product_flops=product_flops,
        **beside,
    )


def _fastest_form(programs: Mapping[str, Program]) -> tuple[str, Compiled]:
    """Return the name of the fastest program, compiled."""
    forms = {name: program.compile() for name, program in programs.items()}
    name = measure.fastest(forms, FORM_ROUNDS)
    return name, forms[name]


def _beside_peer(
    ours: Compiled, other: Compiled, contest: Contest, name: str, settings: Settings
) -> dict[str, Any]:
    """Return what is had from both programs, run and compiled in turn."""
    times = measure.in_turn(ours, other, settings.budget)
    spread = Spread.of(times)
    compiling = [(ours.compile_seconds, other.compile_seconds)]
    for _ in range(settings.compiles - 1):
        sides = contest.ours, contest.peers[name]
        mine, theirs = (program.compile().compile_seconds for program in sides)
        compiling.append((mine, theirs))
    seconds, peer_seconds = np.median(times, 0)
    compile_seconds, peer_compile_seconds = np.median(compiling, 0)
    return {
        "seconds": float(seconds),
        "peer_seconds": float(peer_seconds),
        "time_ratio": spread.middle,
        "time_ratio_quartiles": (spread.low, spread.high),
        "pairs": len(times),
        "compile_seconds": float(compile_seconds),
        "peer_compile_seconds": float(peer_compile_seconds),
        "compile_ratio": Spread.of(np.asarray(compiling)).middle,
        "memory_ratio": memory_ratio(ours.temporary_bytes, other.temporary_bytes, ours.moved_bytes),
        "peer_temporary_bytes": other.temporary_bytes,
    }


def _beside_torch(
    subject: Subject,
    ours: Compiled,
    prepare: Callable[[], Side],
    settings: Settings,
    notes: Notes,
) -> dict[str, Any]:
    """Return the ratio to PyTorch's side; nothing where PyTorch refuses it."""
    try:
        side = prepare()
        side.run()
    except (RuntimeError, NotImplementedError) as error:
        notes.add(subject, f"PyTorch refuses it: {str(error).splitlines()[0]}")
        return {}
    times = measure.in_turn(ours, side, settings.budget, TORCH_PAUSE)
    spread = Spread.of(times)
    return {
        "torch_time_ratio": spread.middle,
        "torch_time_ratio_quartiles": (spread.low, spread.high),
        "torch_seconds": float(np.median(times[:, 1])),
    }
