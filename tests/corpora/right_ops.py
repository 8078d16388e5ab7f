"""The ops that the wrong rules spoil, as they should be: one mistake tells each pair apart."""

from types import ModuleType

import ops_convolution
import ops_dense
import ops_elementwise
import ops_indexing
import ops_losses
import ops_normalization
import ops_sequences
from entry import Op, Right

THEMES = (
    ops_elementwise,
    ops_dense,
    ops_normalization,
    ops_losses,
    ops_convolution,
    ops_sequences,
    ops_indexing,
)


def _ops(module: ModuleType) -> dict[str, Op]:
    return {name: op for name, op in vars(module).items() if isinstance(op, Op)}


ENTRIES = tuple(
    Right("op-" + name.lower().replace("_", "-"), "as it should be", op)
    for theme in THEMES
    for name, op in _ops(theme).items()
)
