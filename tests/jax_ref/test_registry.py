"""Every case of the registry, in every dtype, against every witness."""

import dataclasses

import pytest

from jax_ref import cases


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("case", cases.registry, ids=lambda case: case.name)
def test_case_passes(case: cases.Case, dtype: str) -> None:
    report = cases.run(case, dtype)
    assert report, str(report)


@pytest.mark.parametrize("case", cases.registry, ids=lambda case: case.name)
def test_case_passes_in_float16(case: cases.Case) -> None:
    # The code is that of bfloat16, and `manual-bp check` has every size and option in it.
    sizes, options = case.combinations(every=False)[0]
    report = cases.run(dataclasses.replace(case, sizes=(sizes,), options=(options,)), "float16")
    assert report, str(report)
