"""The ops of the registry as rows: forward and backward in one program."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bp_lab.bench import accuracy, peers, torch_side
from bp_lab.bench.contest import Contest, Subject
from bp_lab.bench.peers.flax_cells import name_of
from bp_lab.bench.peers.peer import Peer
from bp_lab.bench.program import Program
from jax_ref import cases
from jax_ref.cases.case import Case, Options, Sizes


def subjects(dtype: str) -> Iterator[Subject]:
    """Yield every case of the registry at its sizes for the benchmark."""
    for case in cases.registry:
        for sizes, options in case.bench:
            yield subject(case, sizes, options, dtype)


def subject(case: Case, sizes: Sizes, options: Options, dtype: str) -> Subject:
    """Return a case at one size, with one set of options."""
    prepare = _preparation(case, sizes, options, dtype)
    return Subject(case.name, "op", _in_words(sizes, options), dtype, prepare)


def _in_words(sizes: Sizes, options: Options) -> str:
    return ", ".join(f"{name} {_plain(value)}" for name, value in {**sizes, **options}.items())


def _plain(value: Any) -> str:
    """Return a size or a setting as text: tuples as 3×4, tuples among them as they are."""
    if isinstance(value, tuple):
        return "×".join(str(one) if isinstance(one, tuple) else _plain(one) for one in value)
    return name_of(value) if hasattr(value, "op") else str(value)


def _preparation(case: Case, sizes: Sizes, options: Options, dtype: str) -> Callable[[], Contest]:
    def prepare() -> Contest:
        args = case.arguments(sizes, dtype, seed=0)
        dy = cotangents(case.op, args, options)
        forms = {peer.name: peer for peer in fitting(peers.table[case.op_name], args, options)}
        return Contest(
            Program(by_hand(case.op, options), (args, dy)),
            {name: by_autodiff(peer, args, dy, options) for name, peer in forms.items()},
            torch_side.of_op(case.op_name, args, dy, options),
            lambda name: error_ratio(case, sizes, options, dtype, forms[name]),
        )

    return prepare


def error_ratio(case: Case, sizes: Sizes, options: Options, dtype: str, peer: Peer) -> float | None:
    """Return our rounding error over the peer's; None in float64, the truth's."""
    if dtype == "float64":
        return None
    args = case.arguments({**sizes, **accuracy.SMALLER.get(case.op_name, {})}, dtype, seed=0)
    by_ours = by_hand(case.op, options)
    return accuracy.error_ratio(
        lambda args, dy: by_ours(args, dy)[1],
        accuracy.of_peer(peer, options),
        accuracy.of_function(case.reference, options),
        args,
        cotangents(case.op, args, options),
    )


def fitting(forms: Sequence[Peer], args: tuple[Any, ...], options: Options) -> list[Peer]:
    """Return the forms that are installed and take these arguments and options."""
    return [form for form in forms if form.installed and form.fits(*args, **options)]


def cotangents(op: Any, args: tuple[Any, ...], options: Options) -> Any:
    """Return a random cotangent of every output of an op."""
    outputs = jax.eval_shape(lambda args: op.forward(*args, **options)[0], args)
    rng = np.random.default_rng(1)
    return jax.tree.map(
        lambda y: jnp.asarray(rng.standard_normal(y.shape, np.float32).astype(y.dtype)), outputs
    )


def by_hand(op: Any, options: Options) -> Callable[..., Any]:
    """Return `(args, dy) -> (y, cotangents)` by the op's own forward and backward."""

    def program(args: tuple[Any, ...], dy: Any) -> tuple[Any, Any]:
        y, residual = op.forward(*args, **options)
        return y, op.backward(residual, dy)

    return program


def by_autodiff(peer: Peer, args: tuple[Any, ...], dy: Any, options: Options) -> Program:
    """Return the program of a peer over the same numbers, in its own layout."""
    arranged = peer.arrange(*args, **options)

    def function(args: tuple[Any, ...]) -> Any:
        # Most users let JAX broadcast and promote.
        with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
            return peer.function(*args, **options)

    def program(args: tuple[Any, ...], dy: Any) -> tuple[Any, list[Any]]:
        leaves, tree = jax.tree.flatten(args)
        places = [k for k, leaf in enumerate(leaves) if jnp.issubdtype(leaf.dtype, jnp.floating)]

        def of_floating(floating: list[Any]) -> Any:
            given = dict(zip(places, floating, strict=True))
            return function(jax.tree.unflatten(tree, [given.get(*p) for p in enumerate(leaves)]))

        y, pull_back = jax.vjp(of_floating, [leaves[k] for k in places])
        return y, pull_back(dy)[0]

    return Program(program, (arranged, _own_cotangents(peer, function, arranged, dy, options)))


def _own_cotangents(
    peer: Peer, function: Callable[..., Any], arranged: tuple[Any, ...], dy: Any, options: Options
) -> Any:
    """Return the cotangents of our outputs as those of the peer's, which it restores to ours."""
    outputs = jax.eval_shape(function, arranged)

    def restore(y: Any) -> Any:
        return peer.restore(y, **options)

    like_ours = jax.tree.map(
        lambda leaf, y: leaf.astype(y.dtype), dy, jax.eval_shape(restore, outputs)
    )
    return jax.linear_transpose(restore, outputs)(like_ours)[0]
