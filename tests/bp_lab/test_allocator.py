"""What was freed is kept for the next array."""

import ctypes
import subprocess
import sys

import pytest

from bp_lab import allocator

FAULTS = """
import resource, sys
from bp_lab import allocator
if sys.argv[1] == "kept":
    assert allocator.keep_pages()
import numpy as np
np.ones(2**23).sum()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    np.ones(2**23).sum()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    ran = subprocess.run(
        [sys.executable, "-c", FAULTS, how], check=True, capture_output=True, text=True
    )
    return int(ran.stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not the C library of Linux")
def test_pages_that_were_freed_are_not_asked_for_again() -> None:
    assert faults("kept") < 1000 < faults("as it is")


def test_elsewhere_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda _name: object())
    assert not allocator.keep_pages()
