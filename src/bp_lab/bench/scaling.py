"""How time and memory grow: one op or model over several sizes of one axis, ours and the peers'.

A cost c(n) that grows as a power of the size n is a line where both are logarithms,

  (1) log c(n) = a + p log n,

and p, by least squares over all sizes, is the fitted exponent: 1 where twice the size costs twice
as much. Its standard error says how straight the line is; what every call costs, however small,
flattens it at small sizes. 0 has no logarithm: sizes at which a program needs no temporary memory
are left out, and the exponent says of how many sizes it is.

All sizes are measured beside one form of the peer, the fastest at the largest size.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from bp_lab.bench import contest, models, ops
from bp_lab.bench.contest import Contest, Notes, Settings, Subject
from bp_lab.bench.row import Row
from bp_lab.runs import Config
from jax_ref import cases
from jax_ref.cases.case import Options, Sizes

AXES = ("batch", "width", "depth", "sequence length", "window")
QUICK_SIZES = 4
LEAST_POINTS = 3  # two lie on a line whatever they are
# Of each cost and side the field of a row.
COSTS = {
    "time": {"ours": "seconds", "peer": "peer_seconds", "torch": "torch_seconds"},
    "memory": {"ours": "temporary_bytes", "peer": "peer_temporary_bytes"},
}


@dataclass(frozen=True)
class Sweep:
    """An op or a model over one axis.

    Attributes:
      axis: what grows, one of `AXES`.
      sizes: ascending, by about the same factor.
      at: `(size, dtype) -> subject`.
    """

    axis: str
    sizes: tuple[int, ...]
    at: Callable[[int, str], Subject]

    @property
    def kind(self) -> str:
        """That of its subjects."""
        return self.at(self.sizes[0], "float32").kind

    @property
    def name(self) -> str:
        """The name of the op's case, or of the model, and the axis."""
        return f"{self.at(self.sizes[0], 'float32').name} by {self.axis}"


def _op(
    name: str, axis: str, sizes: tuple[int, ...], at: Callable[[int], tuple[Sizes, Options]]
) -> Sweep:
    """Return the sweep of a case of the registry, whose sizes and options `at` makes of a size."""

    def subject(size: int, dtype: str) -> Subject:
        case = next(case for case in cases.registry if case.name == name and case.bench)
        return ops.subject(case, *at(size), dtype)

    return Sweep(axis, sizes, subject)


def _model(axis: str, sizes: tuple[int, ...], at: Callable[[int], models.Model]) -> Sweep:
    return Sweep(axis, sizes, lambda size, dtype: models.subject(at(size), dtype))


def _mlp(batch: int, *hidden: int) -> models.Model:
    config = Config(model="mlp", optimizer="sgd", hidden=hidden, weight_decay=0.0)
    return models.Model(config, batch)


def _cnn(batch: int) -> models.Model:
    return models.Model(Config(model="cnn", optimizer="adam", weight_decay=0.0), batch)


def _layer(t: int, n: int = 128) -> Sizes:
    """Return the sizes of a recurrent layer of n features and states over t steps."""
    return {"batch_size": 32, "t": t, "n": n, "h": n}


def _pictures(places: int, taps: int, channels: int, outputs: int) -> Sizes:
    return {"b": 16, "axes": ((places, taps),) * 2, "c": channels, "m": outputs}


def _pool(window: int) -> tuple[Sizes, Options]:
    sizes = {"b": 16, "spatial": (56, 56), "c": 32}
    return sizes, {"window": (window, window), "strides": (2, 2), "padding": "SAME"}


def _heads(t: int) -> tuple[Sizes, Options]:
    sizes = {"b": 1, "t": t, "s": t, "n": 8, "g": 8, "h": 64, "w": 64}
    return sizes, {"causal": True}


WIDTHS = (128, 256, 512, 1024, 2048)
LENGTHS = (16, 32, 64, 128, 256)
TAPS = (3, 5, 7, 11, 15)

SWEEPS = (
    _model("batch", (32, 64, 128, 256, 512, 1024), lambda b: _mlp(b, 1024, 1024)),
    _model("batch", (8, 16, 32, 64, 128), _cnn),
    _op("batch_norm", "batch", (512, 1024, 2048, 4096, 8192),
        lambda b: ({"batch": (b,), "n": 1024}, {"training": True})),
    _op("softmax_cross_entropy[integer labels]", "batch", (128, 256, 512, 1024, 2048),
        lambda b: ({"batch": (b,), "n": 4096}, {"reduction": "mean"})),
    _model("width", WIDTHS, lambda n: _mlp(256, n, n)),
    _op("linear", "width", WIDTHS, lambda n: ({"batch": (256,), "n": n, "m": n}, {})),
    _op("layer_norm", "width", WIDTHS, lambda n: ({"batch": (2048,), "n": n}, {})),
    _op("softmax", "width", WIDTHS, lambda n: ({"batch": (2048,), "n": n}, {"axis": -1})),
    _op("softmax_cross_entropy[integer labels]", "width", (1024, 2048, 4096, 8192, 16384),
        lambda n: ({"batch": (512,), "n": n}, {"reduction": "mean"})),
    _op("linear_cross_entropy", "width", (1024, 2048, 4096, 8192, 16384),
        lambda v: ({"batch": (512,), "n": 256, "v": v}, {"reduction": "mean"})),
    _op("lstm", "width", (32, 64, 128, 256, 512), lambda n: (_layer(32, n), {})),
    _model("depth", (1, 2, 4, 8, 16), lambda layers: _mlp(128, *(512,) * layers)),
    _op("rnn", "sequence length", LENGTHS, lambda t: (_layer(t), {"activation": "tanh"})),
    *(_op(name, "sequence length", LENGTHS, lambda t: (_layer(t), {})) for name in ("lstm", "gru")),
    _op("causal_conv_1d", "sequence length", (128, 256, 512, 1024, 2048),
        lambda t: ({"b": 16, "t": t, "k": 3, "c": 64, "m": 64}, {"dilation": 2})),
    _op("ctc[lengths]", "sequence length", LENGTHS,
        lambda t: ({"batch": (16,), "t": t, "v": 64, "s": 16}, {"reduction": "mean"})),
    _op("dot_product_attention", "sequence length", (128, 256, 512, 1024, 2048), _heads),
    *(_op(name, "window", (2, 3, 4, 6, 8), _pool) for name in ("max_pool", "mean_pool")),
    _op("conv", "window", TAPS, lambda k: (_pictures(28, k, 16, 32), {})),
    _op("depthwise_conv", "window", TAPS, lambda k: (_pictures(28, k, 16, 1), {})),
    _op("causal_conv_1d", "window", (2, 4, 8, 16, 32),
        lambda k: ({"b": 16, "t": 512, "k": k, "c": 64, "m": 64}, {"dilation": 1})),
)  # fmt: skip


@dataclass(frozen=True)
class Exponent:
    """The slope p of (1).

    Attributes:
      value: the slope; None of fewer than three sizes.
      error: its standard error.
      points: the sizes that it is of: those where the cost is there and is not 0.
    """

    value: float | None
    error: float | None
    points: int

    def in_words(self, sizes: int) -> str:
        """Return the slope and its error, and of how many of the sizes it is where not of all."""
        of = "" if self.points == sizes else f" ({self.points} of {sizes})"
        if self.value is not None:
            # Of a slope that rounds to 0 the sign says nothing.
            return f"{round(self.value, 2) + 0.0:.2f} ± {self.error:.2f}{of}"
        return "none" if self.points else "0 bytes"


@dataclass
class Curve:
    """A sweep in one dtype, measured.

    Attributes:
      name: of the sweep.
      axis: what grows.
      dtype: of all arrays.
      rows: what was measured, by size.
    """

    name: str
    axis: str
    dtype: str
    rows: dict[int, Row]

    @property
    def peer(self) -> str | None:
        """What the form of the peer is written with."""
        return next((row.peer for row in self.rows.values()), None)

    def costs(self, cost: str, side: str) -> list[float | None]:
        """Return seconds or bytes of one side, one of each size; None where there is none."""
        field = COSTS[cost][side]
        return [getattr(row, field) for row in self.rows.values()]

    def exponent(self, cost: str, side: str) -> Exponent:
        """Return how "time" or "memory" of "ours", "peer" or "torch" grows."""
        return exponent(list(self.rows), self.costs(cost, side))

    def to_dict(self) -> dict[str, Any]:
        """Return the curve as plain data, ready for JSON."""
        return {
            "name": self.name,
            "axis": self.axis,
            "dtype": self.dtype,
            "peer": self.peer,
            "exponents": {
                cost: {side: asdict(self.exponent(cost, side)) for side in sides}
                for cost, sides in COSTS.items()
            },
            "points": [{"at": size, **row.to_dict()} for size, row in self.rows.items()],
        }


def chosen(names: Sequence[str], kinds: Sequence[str]) -> list[Sweep]:
    """Return the sweeps whose name contains one of `names`, or all, of one of the kinds, or all."""
    return [
        sweep
        for sweep in SWEEPS
        if (not names or any(name in sweep.name for name in names))
        and (not kinds or sweep.kind in kinds)
    ]


def measured(
    sweep: Sweep, dtype: str, settings: Settings, notes: Notes, *, quick: bool
) -> Iterator[Curve]:
    """Yield the curve after each size: the largest first, which settles the form of the peer."""
    curve = Curve(sweep.name, sweep.axis, dtype, {})
    sizes = sweep.sizes[:QUICK_SIZES] if quick else sweep.sizes
    for size in reversed(sizes):
        subject = sweep.at(size, dtype)
        if curve.peer is not None:
            subject = replace(subject, prepare=_beside(curve.peer, subject.prepare))
        row = contest.measured(subject, settings, notes)
        curve = replace(curve, rows={size: row, **curve.rows})
        yield curve


def _beside(peer: str, prepare: Callable[[], Contest]) -> Callable[[], Contest]:
    """Return what prepares the contest with one form of the peer alone."""

    def prepared() -> Contest:
        whole = prepare()
        return replace(whole, peers={peer: whole.peers[peer]})

    return prepared


def exponent(sizes: Sequence[int], costs: Sequence[float | None]) -> Exponent:
    """Return the slope of the costs over the sizes, both as logarithms, and its standard error."""
    points = [(n, c) for n, c in zip(sizes, costs, strict=True) if c]
    if len(points) < LEAST_POINTS:
        return Exponent(None, None, len(points))
    x, y = np.log(np.asarray(points, float)).T
    (slope, _), covariance = np.polyfit(x, y, 1, cov=True)  # (1)
    return Exponent(float(slope), float(np.sqrt(covariance[0, 0])), len(points))
