"""Every case of the registry, in every dtype, against every witness."""

import pytest

from jax_ref import cases


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("case", cases.registry, ids=lambda case: case.name)
def test_case_passes(case: cases.Case, dtype: str) -> None:
    report = cases.run(case, dtype)
    assert report, str(report)
