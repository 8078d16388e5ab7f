"""Every case of the registry, in every dtype, against every witness."""

import pytest

from jax_ref import cases
from jax_ref.cases.case import run_one
from jax_ref.verdict import Report, merge

LOWER = ("float32", "bfloat16", "float16")

every_case = pytest.mark.parametrize("case", cases.registry, ids=lambda case: case.name)


@every_case
def test_case_passes(case: cases.Case) -> None:
    report = cases.run(case, "float64")
    assert report, str(report)


@every_case
def test_case_passes_in_lower_precision(case: cases.Case) -> None:
    # Every option, at the first size that it fits; of float16, whose code is that of bfloat16, one.
    # `manual-bp check` has every size too. The options come first, as the dtypes share a truth.
    reports: dict[str, list[Report]] = {dtype: [] for dtype in LOWER}
    for number, options in enumerate(case.options):
        sizes = next(s for s in case.sizes if case.fits(s, options))
        for dtype in LOWER if number == 0 else LOWER[:2]:
            reports[dtype].append(run_one(case, sizes, options, dtype))
    for dtype, of_dtype in reports.items():
        report = merge(case.name, dtype, of_dtype)
        assert report, str(report)
