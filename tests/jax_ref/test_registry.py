"""Every case of the registry, in every dtype, against every witness."""

import dataclasses

import pytest

from jax_ref import cases

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
    for options in case.options[: 1 if dtype == "float16" else None]:
        sizes = next(sizes for sizes in case.sizes if case.fits(sizes, options))
        chosen = dataclasses.replace(case, sizes=(sizes,), options=(options,))
        report = cases.run(chosen, dtype)
        assert report, str(report)
