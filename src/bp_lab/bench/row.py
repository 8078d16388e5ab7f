"""A row of the benchmark: what was measured of one op or model, and means over rows."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

KINDS = ("op", "model")
RATIOS = ("time_ratio", "memory_ratio", "error_ratio", "compile_ratio", "torch_time_ratio")
LEAST_BYTES = 2**10
LEAST_SHARE = 0.01


@dataclass(frozen=True)
class Row:
    """One op or model in one dtype; ratios are ours to the other's, below 1 where ours is better.

    What could not be measured is None: without a peer, or without PyTorch.

    Attributes:
      name: of the op's case, or of the model.
      kind: "op" or "model".
      size: its sizes and options, in words.
      dtype: of all arrays.
      peer: what the fastest of the forms under `jax.grad` is written with.
      time_ratio: median of the ratios of neighbouring runs.
      time_ratio_quartiles: of those ratios.
      memory_ratio: of temporary bytes, by `memory_ratio`.
      error_ratio: of the rounding errors of the cotangents, by `accuracy`; of ops alone.
      compile_ratio: of the seconds to trace, lower and compile; median of ratios as well.
      torch_time_ratio: as `time_ratio`, to PyTorch eager.
      torch_time_ratio_quartiles: of those ratios.
      products_ratio: of the matrix products of the step alone, in their fastest form, to the peer's
        whole step, as `time_ratio`; of the models of `products`.
      limit_share: `floor_seconds` over `seconds`.
      seconds: median of ours.
      peer_seconds: median of the peer's.
      torch_seconds: median of PyTorch's.
      floor_seconds: what the machine needs at the least, by `limits`.
      compile_seconds: median of ours.
      peer_compile_seconds: median of the peer's.
      temporary_bytes: what ours needs beside arguments and results.
      peer_temporary_bytes: the same of the peer.
      moved_bytes: bytes of arguments and results.
      flops: operations in our program as XLA counts them.
      product_flops: operations in matrix products, of the program that has fewer.
      pairs: how often both were timed.
    """

    name: str
    kind: str
    size: str
    dtype: str
    seconds: float
    limit_share: float
    floor_seconds: float
    temporary_bytes: int
    moved_bytes: int
    flops: float
    product_flops: float
    compile_seconds: float
    pairs: int
    peer: str | None = None
    time_ratio: float | None = None
    time_ratio_quartiles: tuple[float, float] | None = None
    memory_ratio: float | None = None
    error_ratio: float | None = None
    compile_ratio: float | None = None
    peer_seconds: float | None = None
    peer_temporary_bytes: int | None = None
    peer_compile_seconds: float | None = None
    torch_time_ratio: float | None = None
    torch_time_ratio_quartiles: tuple[float, float] | None = None
    torch_seconds: float | None = None
    products_ratio: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the row as plain data, ready for JSON."""
        return dataclasses.asdict(self)


def memory_ratio(ours: int, other: int, moved: int) -> float:
    """Return the ratio of temporary bytes, a hundredth of those of arguments and results on top.

    So two that need none are alike, and one that needs as good as none, be it 0 or a few rows, is
    not infinitely better or worse than another.
    """
    least = max(LEAST_BYTES, LEAST_SHARE * moved)
    return (ours + least) / (other + least)


def shown(ratio: float | None) -> str:
    """Return a ratio as text, a dash where there is none."""
    if ratio is None:
        return "–"
    # Two decimals of less would show nothing.
    return f"{ratio:.2f}" if ratio >= 0.005 else "<0.01"


def geometric_mean(values: Iterable[float | None]) -> float | None:
    """Return the geometric mean of the values that are there; None where there is none."""
    logarithms = [math.log(value) for value in values if value is not None]
    return math.exp(math.fsum(logarithms) / len(logarithms)) if logarithms else None


def geometric_means(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return for each dtype, for ops, models and all, the number of rows and the mean ratios."""
    means: dict[str, dict[str, dict[str, Any]]] = {}
    for dtype in dict.fromkeys(row.dtype for row in rows):
        means[dtype] = {}
        for kind in (*KINDS, "all"):
            chosen = [row for row in rows if row.dtype == dtype and kind in (row.kind, "all")]
            if chosen:
                means[dtype][kind] = {"rows": len(chosen), **_means(chosen)}
    return means


def _means(rows: Sequence[Row]) -> Mapping[str, float | None]:
    return {name: geometric_mean(getattr(row, name) for row in rows) for name in RATIOS}
