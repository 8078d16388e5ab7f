"""Every op as a user of JAX would write it, in its best common forms; the fastest is the peer.

A form takes the op's arguments in their order and its settings by name. It is written with
`jax.nn`, `jax.numpy`, `jax.lax`, Optax or Flax, whichever is common, and differentiated by JAX.
"""

from collections.abc import Mapping
from types import MappingProxyType

from bp_lab.bench.peers import (
    activations,
    attention,
    convolution,
    dense,
    gates,
    indexing,
    losses,
    normalization,
    pooling,
    recurrence,
    reductions,
    regularization,
    resampling,
    stacks,
)
from bp_lab.bench.peers.peer import Peer

table: Mapping[str, tuple[Peer, ...]] = MappingProxyType(
    {
        **activations.table,
        **attention.table,
        **dense.table,
        **gates.table,
        **losses.table,
        **regularization.table,
        **indexing.table,
        **reductions.table,
        **pooling.table,
        **resampling.table,
        **normalization.table,
        **convolution.table,
        **recurrence.table,
        **stacks.table,
    }
)

__all__ = ["Peer", "table"]
