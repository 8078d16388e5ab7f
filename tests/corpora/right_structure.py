"""Right rules of awkward structure: sizes 0 and 1, any rank, trees, integers, keys, float0."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from entry import HALF, Op, Right, exactly, normal, normals, saving
from ops_convolution import average_pool
from ops_dense import bilinear, decay, gain, linear, swap_middle
from ops_elementwise import cosine, dropout, exponential, reciprocal, tanh
from ops_indexing import embedding, rows
from ops_losses import squared
from ops_normalization import along, layer_norm, logsumexp, softmax

ZERO = "the gradient is 0 throughout"
EMPTY = "there is nothing to see"


class Layer(NamedTuple):
    """Weights and bias."""

    W: Any
    b: Any


def _identity(x):
    return x


def _add(a, b):
    return a + b


def _floor(x):
    return jnp.floor(x)


def _first(x, _unused):
    return x * 2


def _with_position(x):
    return x.max(1), x.argmax(1)


def _with_position_backward(residual, dy):
    x, at = residual
    return (jnp.zeros_like(x).at[rows(at[:, None]), at[:, None]].set(dy[0][:, None]),)


def _with_constant(x):
    return {"sine": jnp.sin(x), "ones": jnp.ones_like(x)}


def _list_of_layers(layers, x):
    for W, b in layers:
        x = jnp.tanh(x @ W + b[None])
    return x


def _list_of_layers_forward(layers, x):
    states = [x]
    for W, b in layers:
        states.append(jnp.tanh(states[-1] @ W + b[None]))
    return states[-1], (layers, states)


def _list_of_layers_backward(residual, dy):
    layers, states = residual
    dlayers = []
    for (W, _), x, y in reversed(list(zip(layers, states[:-1], states[1:], strict=True))):
        du = dy * (1 - y**2)
        dlayers.append(Layer(x.T @ du, du.sum(0)))
        dy = du @ W.T
    return dlayers[::-1], dy


def _layers(rng):
    shapes = (3, 4), (4, 2)
    return [Layer(normal(rng, *shape), normal(rng, shape[1])) for shape in shapes], normal(
        rng, 5, 3
    )


def _optional_bias(params, x):
    y = x @ params["W"]
    return y if params["b"] is None else y + params["b"][None]


def _mixed_tree(state, x):
    return state["gain"] * x[state["rows"]]


def _mixed_tree_backward(residual, dy):
    state, x = residual
    dgain = (dy * x[state["rows"]]).sum(0, keepdims=True)
    dx = jnp.zeros_like(x).at[state["rows"]].add(state["gain"] * dy)
    return {"gain": dgain, "rows": None}, dx


def _by_count(x, count):
    return x / count.astype(x.dtype)


def _keep(x, mask):
    return jnp.where(mask, x, 0)


def _float0(leaf):
    return np.zeros(leaf.shape, jax.dtypes.float0)


def _lookup(ids, table):
    return table[ids]


def _constant(x):
    return jnp.zeros_like(x)


def _widened(x, scale):
    return (x.astype(scale.dtype) * along(scale, x)).astype(x.dtype)


def _widened_backward(residual, dy):
    x, scale = residual
    wide = dy.astype(scale.dtype)
    return (wide * along(scale, x)).astype(x.dtype), (wide * x.astype(scale.dtype)).sum(0)


def _moments(x):
    return {"mean": x.mean(0), "spread": (((x - x.mean(0)[None]) ** 2).mean(0), x.max())}


def _moments_backward(x, dy):
    c = x - x.mean(0)[None]
    tied = (x == x.max()).astype(x.dtype)
    dvariance, dlargest = dy["spread"]
    of_means = (dy["mean"][None] + 2 * c * dvariance[None]) / x.shape[0]
    return (of_means + dlargest * tied / tied.sum(),)


nothing_saved = Op(_identity, lambda x: (x, ()), lambda r, dy: (dy,), normals((3, 4)))
aliased = Op(_add, saving(_add, lambda y, a, b: ()), lambda r, dy: (dy, dy), normals((3,), (3,)))
with_position = Op(
    _with_position,
    saving(_with_position, lambda y, x: (x, y[1])),
    _with_position_backward,
    normals((3, 5)),
)

ENTRIES = (
    Right("batch-of-none", "no samples", linear.at(normals((0, 3), (3, 4), (4,))), unseen=EMPTY),
    Right(
        "no-features",
        "an inner dimension of 0",
        linear.at(normals((5, 0), (0, 4), (4,))),
        unseen=EMPTY,
    ),
    Right("softmax-of-none", "no rows", softmax.at(normals((0, 4))), unseen=EMPTY),
    Right(
        "layer-norm-of-none",
        "no rows: dscale is a sum of nothing",
        layer_norm.at(normals((0, 7), (7,), (7,))),
        unseen=EMPTY,
    ),
    Right("tanh-of-none", "size 0, rank 3", tanh.at(normals((2, 0, 3))), unseen=EMPTY),
    Right("linear-of-one", "every size 1", linear.at(normals((1, 1), (1, 1), (1,)))),
    Right("batch-of-one", "one sample", layer_norm.at(normals((1, 7), (7,), (7,)))),
    Right("gain-of-one", "an axis of 1 on both sides", gain.at(normals((1, 4), (1, 4)))),
    Right("softmax-of-one", "one class: y = 1", softmax.at(normals((4, 1))), unseen=ZERO),
    Right("scalar", "rank 0", cosine.at(exactly(0.75))),
    Right("scalar-result", "rank 0 out", decay.at(normals((2, 3, 2)))),
    Right("logsumexp-rank-1", "rank 1 in, rank 0 out", logsumexp.at(normals((6,)))),
    Right(
        "reciprocal-rank-4",
        "rank 4 with sizes of 1",
        reciprocal.at(lambda rng: (1 + np.abs(normal(rng, 1, 3, 1, 2)),)),
    ),
    Right("pool-one-channel", "one channel", average_pool.at(normals((1, 6, 4, 1)))),
    Right("transpose-not-square", "rank 4", swap_middle.at(normals((2, 3, 4, 5)))),
    Right("bilinear-not-square", "3 × 3", bilinear.at(normals((3,), (3, 3), (3,)))),
    Right("squared-error-rank", "7 samples of one output", squared.at(normals((7, 1), (7, 1)))),
    Right("identity", "dy returned as it came, nothing saved", nothing_saved),
    Right("dy-twice", "one array for two cotangents", aliased),
    Right(
        "floor",
        "a derivative of 0",
        Op(_floor, saving(_floor), lambda r, dy: (0 * dy,), normals((4,))),
        unseen=ZERO,
    ),
    Right(
        "constant",
        "an output that depends on nothing",
        Op(_constant, saving(_constant), lambda r, dy: (0 * dy,), normals((2, 3))),
        unseen=ZERO,
    ),
    Right(
        "stopped",
        "the primal stops the gradient",
        Op(
            lambda x: x * jax.lax.stop_gradient(x),
            lambda x: (x * x, x),
            lambda x, dy: (dy * x,),
            normals((5,)),
        ),
        unseen="differences see what stop_gradient hides",
    ),
    Right(
        "unused-argument",
        "None where the gradient is truly 0",
        Op(_first, saving(_first), lambda r, dy: (2 * dy, None), normals((4,), (3,))),
        unseen=ZERO,
    ),
    Right(
        "unused-argument-zeros",
        "zeros where the gradient is truly 0",
        Op(
            _first,
            saving(_first),
            lambda r, dy: (2 * dy, jnp.zeros_like(r[1])),
            normals((4,), (3,)),
        ),
        unseen=ZERO,
    ),
    Right("integer-output", "the largest and its position: float0 for an integer", with_position),
    Right(
        "constant-output",
        "two outputs, one of them constant",
        Op(
            _with_constant,
            saving(_with_constant),
            lambda r, dy: (dy["sine"] * jnp.cos(r[0]),),
            normals((3,)),
        ),
    ),
    Right(
        "nested-outputs",
        "a tuple in a dict",
        Op(_moments, lambda x: (_moments(x), x), _moments_backward, normals((5, 2))),
    ),
    Right(
        "list-of-layers",
        "named tuples in a list",
        Op(_list_of_layers, _list_of_layers_forward, _list_of_layers_backward, _layers),
    ),
    Right(
        "absent-bias",
        "None among the arguments",
        Op(
            _optional_bias,
            saving(_optional_bias),
            lambda r, dy: ({"W": r[1].T @ dy, "b": None}, dy @ r[0]["W"].T),
            lambda rng: ({"W": normal(rng, 3, 2), "b": None}, normal(rng, 4, 3)),
        ),
    ),
    Right(
        "integers-in-a-tree",
        "an integer leaf beside a floating one",
        Op(
            _mixed_tree,
            saving(_mixed_tree),
            _mixed_tree_backward,
            lambda rng: (
                {"gain": normal(rng, 1, 2), "rows": np.array([0, 2, 2, 1])},
                normal(rng, 3, 2),
            ),
        ),
    ),
    Right(
        "integer-scalar",
        "a count",
        Op(
            _by_count,
            saving(_by_count),
            lambda r, dy: (dy / r[1].astype(dy.dtype), None),
            lambda rng: (normal(rng, 4), np.asarray(3)),
        ),
    ),
    Right(
        "boolean-float0",
        "float0 for a mask",
        Op(
            _keep,
            saving(_keep),
            lambda r, dy: (jnp.where(r[1], dy, 0), _float0(r[1])),
            lambda rng: (normal(rng, 3, 4), rng.random((3, 4)) < 0.5),
        ),
    ),
    Right(
        "integers-first",
        "the integer before the table",
        Op(
            _lookup,
            saving(_lookup),
            lambda r, dy: (None, jnp.zeros_like(r[1]).at[r[0]].add(dy)),
            lambda rng: (np.array([1, 1, 4]), normal(rng, 5, 2)),
        ),
    ),
    Right(
        "key",
        "a key, and a mask drawn anew from it",
        dropout.at(lambda rng: (normal(rng, 3, 4), jax.random.key(11))),
    ),
    Right(
        "raw-key",
        "a key of integers",
        dropout.at(lambda rng: (normal(rng, 3, 4), np.array([0, 11], np.uint32))),
    ),
    Right(
        "embedding-one-row",
        "every index the same",
        embedding.at(lambda rng: (normal(rng, 4, 3), np.full((2, 5), 2))),
    ),
    Right(
        "mixed-precision",
        "half-precision activations, float32 scale",
        Op(
            _widened,
            saving(_widened),
            _widened_backward,
            lambda rng: (normal(rng, 6, 3), normal(rng, 3).astype(np.float32)),
        ),
        dtypes=HALF,
    ),
    Right("exponential-rank-5", "rank 5", exponential.at(normals((2, 1, 3, 1, 2)))),
)
