"""What the property tests share: sizes, options, dtype and seed of a case, drawn by hypothesis."""

from hypothesis import strategies as st

from jax_ref import cases
from jax_ref.cases.case import Options, Sizes, run_one
from jax_ref.verdict import Verdict

DTYPES = ("float64", "float32", "bfloat16", "float16")
LOW = ("float32", "bfloat16", "float16")

# A composite of few numbers misses the bound now and then by the luck of its inner roundings; the
# registry holds it in every dtype at inputs that are drawn once.
STACKS = ("layer_stack", "checkpointed_stack", "reversible_stack")
FLOAT64_ONLY = ("bidirectional", "chain", "mlp", "stacked", *STACKS)

LABELLED = ("chain", "ctc", "multiclass_hinge", "negative_log_likelihood")


def batches() -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(st.sampled_from([2, 1, 3, 0, 5]), max_size=3).map(tuple)


def axes() -> st.SearchStrategy[tuple[tuple[int, int], ...]]:
    """Draw spatial axes: the places of each and the taps of a kernel along it."""
    axis = st.tuples(st.sampled_from([5, 7, 4, 6]), st.sampled_from([3, 2, 1]))
    return st.lists(axis, min_size=1, max_size=2).map(tuple)


@st.composite
def drawn(draw: st.DrawFn, case: cases.Case) -> tuple[Sizes, Options, str, int]:
    """Draw sizes that the case knows, an option that goes with them, a dtype and a seed."""
    # A softmax over nothing is not defined, and no label can be drawn from nothing.
    at_least_one = "softmax" in case.op_name or case.op_name in LABELLED
    axis = st.sampled_from([3, 1, 2, 5, 7] if at_least_one else [3, 1, 2, 0, 5, 7])
    widths = st.lists(st.sampled_from([1, 2, 3, 5]), min_size=2, max_size=4).map(tuple)
    spatial = st.lists(st.sampled_from([3, 1, 2, 5]), min_size=1, max_size=3).map(tuple)
    space = st.lists(st.sampled_from([5, 7, 4, 6]), min_size=1, max_size=2).map(tuple)
    # A reference that unrolls time compiles every step.
    steps = st.sampled_from([2, 1, 0, 3])
    known = {
        "batch": batches(),
        "widths": widths,
        "spatial": spatial,
        "axes": axes(),
        "space": space,
        "t": steps,
        "depth": steps,
    }
    sizes = draw(
        st.fixed_dictionaries({name: known.get(name, axis) for name in case.sizes[0]}).filter(
            lambda sizes: any(case.fits(sizes, options) for options in case.options)
        )
    )
    options = draw(st.sampled_from([o for o in case.options if case.fits(sizes, o)]))
    dtype = draw(st.sampled_from(DTYPES[:1] if case.op_name in FLOAT64_ONLY else DTYPES))
    return sizes, options, dtype, draw(st.integers(0, 2**16))


def check_drawn(case: cases.Case, sizes: Sizes, options: Options, dtype: str, seed: int) -> None:
    """Run the case; it may show nothing where there is nothing to see, and only there."""
    report = run_one(case, sizes, options, dtype, seed)
    assert report.verdict is not Verdict.FAIL, str(report)
    assert report or report.unseen, str(report)


def cases_of(*op_names: str) -> list[cases.Case]:
    found = [case for case in cases.registry if case.op_name in op_names]
    assert {case.op_name for case in found} == set(op_names)
    return found
