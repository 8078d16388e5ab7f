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
    "forward-and-its-backward": ("float32",),
    "linear-dW-float32": ("float16",),
    "linear-db-bfloat16": ("float32", "float16"),
    "layer-norm-both-terms": ("float32",),
    "batch-norm-as-at-inference": ("float32", "float16"),
    "attention-dk-transposed": ("float64", "float32", "bfloat16", "float16"),
    "rnn-last-step-only": ("float64", "float32", "bfloat16", "float16"),
    "swish-stale": ("float32", "bfloat16", "float16"),
    "forward-of-another": ("float32", "float16"),
    "tied-one-use": ("float32",),
    "polar-angle-sign": ("bfloat16", "float16"),
    "penalty-doubled": ("bfloat16",),
    "penalty-forgotten": ("bfloat16",),
    "layer-norm-dscale-of-x": ("bfloat16",),
    "variance-far-from-zero": ("float32", "bfloat16", "float16"),
    "label-smoothing": ("bfloat16",),
    "huber-unclipped": ("bfloat16",),
    "lstm-stale-cell": ("bfloat16",),
    "logsumexp-far-from-zero": ("float32",),
    "causal-attention-off-by-one": ("float32",),
    "rank-zero": ("bfloat16",),
    "logsumexp-as-max": ("bfloat16",),
    "layer-norm-unbiased": ("bfloat16",),
    "batch-norm-dscale-rstd": ("bfloat16",),
    "weight-norm-length": ("bfloat16",),
    "masked-mean-count": ("bfloat16",),
    "padding-in-the-count": ("bfloat16",),
    "lstm-gate-slope": ("bfloat16",),
    "gru-reset-path": ("bfloat16",),
    "rule-second-output": ("bfloat16",),
    "jvp-unit-alone": ("bfloat16",),
    "rule-power-exponent": ("bfloat16",),
}
