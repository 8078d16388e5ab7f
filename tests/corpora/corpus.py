"""All entries: rules that are wrong, and rules that are right."""

from pathlib import Path

import right_ops
import right_programs
import right_structure
import right_values
import wrong_convolution
import wrong_dense
import wrong_elementwise
import wrong_indexing
import wrong_losses
import wrong_normalization
import wrong_rules
import wrong_sequences
from entry import Entry, Right, Wrong


def _named(*corpora: tuple[Entry, ...]) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for entry in (entry for corpus in corpora for entry in corpus):
        if entry.name in entries:
            raise ValueError(f"corpus: {entry.name}: taken twice")
        entries[entry.name] = entry
    return entries


EVERY: dict[str, Entry] = _named(
    wrong_elementwise.ENTRIES,
    wrong_dense.ENTRIES,
    wrong_normalization.ENTRIES,
    wrong_losses.ENTRIES,
    wrong_convolution.ENTRIES,
    wrong_sequences.ENTRIES,
    wrong_indexing.ENTRIES,
    wrong_rules.ENTRIES,
    right_ops.ENTRIES,
    right_values.ENTRIES,
    right_structure.ENTRIES,
    right_programs.ENTRIES,
)
WRONG = tuple(entry for entry in EVERY.values() if isinstance(entry, Wrong))
RIGHT = tuple(entry for entry in EVERY.values() if isinstance(entry, Right))

PAGE = Path(__file__).resolve().parents[2] / "docs" / "CORPORA.md"

# The wrong rules whose first diagnosis is not of their mistake, and in which dtypes.
UNNAMED: dict[str, tuple[str, ...]] = {
    "exponential-offset": (
        "bfloat16",
        "float16",
    ),
    "rank-zero": ("bfloat16",),
    "softmax-axis": ("bfloat16",),
    "layer-norm-dscale-of-x": ("bfloat16",),
    "layer-norm-unbiased": ("bfloat16",),
    "variance-far-from-zero": (
        "float32",
        "bfloat16",
        "float16",
    ),
    "label-smoothing": ("bfloat16",),
    "padding-in-the-count": ("bfloat16",),
    "huber-unclipped": ("bfloat16",),
    "pad-cropped": ("bfloat16",),
    "smooth-one-tap-short": ("bfloat16",),
    "attention-dk-transposed": (
        "float64",
        "float32",
        "bfloat16",
        "float16",
    ),
    "rnn-untransposed": ("bfloat16",),
    "rnn-last-step-only": (
        "float64",
        "float32",
        "bfloat16",
        "float16",
    ),
    "jvp-unit-alone": (
        "bfloat16",
        "float16",
    ),
}
