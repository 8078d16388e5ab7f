"""Every case of the registry, in every dtype, against every witness."""

import pytest

from jax_ref import cases
from jax_ref.cases.case import run_one
from jax_ref.verdict import merge

every_case = pytest.mark.parametrize("case", cases.registry, ids=lambda case: case.name)


@every_case
def test_case_passes(case: cases.Case) -> None:
    report = cases.run(case, "float64")
    assert report, str(report)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@every_case
def test_case_passes_in_lower_precision(case: cases.Case, dtype: str) -> None:
    # Every option, at the first size that it fits; of float16, whose code is that of bfloat16, one.
    # `manual-bp check` has every size too.
    reports = [
        run_one(case, next(s for s in case.sizes if case.fits(s, options)), options, dtype)
        for options in case.options[: 1 if dtype == "float16" else None]
    ]
    report = merge(case.name, dtype, reports)
    assert report, str(report)
