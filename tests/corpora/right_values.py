"""Right rules at awkward values: huge, tiny, saturated, cancelling, masked, tied, steep."""

from functools import wraps

import jax
import jax.numpy as jnp
import numpy as np
from entry import LONG, RANGE, Op, Right, exactly, normal, normals, saving, uniform, wide
from ops_convolution import max_pool
from ops_dense import inner, linear
from ops_elementwise import (
    absolute,
    clip,
    cosine,
    elementwise,
    exponential,
    gelu,
    hyperbolic_cosine,
    leaky_relu,
    log_sigmoid,
    relu,
    sigmoid,
    softplus,
    swish,
    tanh,
)
from ops_indexing import cumsum, largest, sort, top_two
from ops_losses import binary, cross_entropy, hinge, huber
from ops_normalization import (
    layer_norm,
    log_softmax,
    logsumexp,
    mean,
    norm,
    rms_norm,
    softmax,
    unit,
    variance,
)
from ops_sequences import causal_attention

CONSTANT_ROW = exactly([[2.0] * 3, [1.0, -0.5, 0.75]], [0.5, 2.0, 1.5], [1.0, 0.0, 0.25])
AT_ZERO = exactly([[0.0, 1.5, -2.0], [-0.5, 0.0, 0.75]])


def _relu_with(slope):
    return elementwise(
        lambda u: jnp.maximum(u, 0),
        lambda u, y: jnp.where(u > 0, 1, jnp.where(u < 0, 0, slope)).astype(u.dtype),
        AT_ZERO,
    )


def _first_largest(x, dy):
    return jnp.zeros_like(x).at[jnp.arange(len(x)), x.argmax(1)].set(dy)


def _scaled_normals(scale, *shapes):
    return lambda rng: tuple(scale * x for x in normals(*shapes)(rng))


def _far_from_zero(rng):
    _, scale, bias = normals((5, 16), (16,), (16,))(rng)
    return 1000 + 0.01 * normal(rng, 5, 16), scale, bias


def _one_huge_logit(rng):
    x = normal(rng, 4, 5)
    x[1, 3] = 100
    return (x,)


def _with_minus_infinity(rng):
    x = normal(rng, 3, 5)
    x[0, 2] = x[2, 4] = x[2, 0] = -np.inf
    return (x,)


def _thousands(rng):
    return (1000 + normal(rng, 3, 9),)


def _few_thousandths(rng):
    return 1e-3 * normal(rng, 3, 5), normal(rng, 5)


def _centred(x):
    return x - mean(x)


def widened(op):
    """Return the op computed in float32 where its arguments are in half precision."""

    def forward(*args):
        y, residual = op.forward(*map(wide, args))
        return y.astype(args[0].dtype), residual

    def backward(residual, dy):
        return tuple(leaf.astype(dy.dtype) for leaf in op.backward(residual, wide(dy)))

    return Op(op.primal, wraps(op.primal)(forward), backward, op.draw)


def _mixed(rng):
    return normal(rng, 8) * 10.0 ** np.arange(-8, 8, 2), normal(rng, 8)


def _plain_norm(x):
    return jnp.sqrt((x**2).sum(1))


plain_norm = Op(
    _plain_norm,
    saving(_plain_norm, lambda y, x: {"x": x, "y": y}),
    norm.backward,
    normals((3, 4)),
)


def _sum_of_squares(x):
    return (x**2).sum()


sum_of_squares = Op(
    _sum_of_squares, saving(_sum_of_squares), lambda r, dy: (2 * dy * r[0],), normals((7,))
)


def _masked_softmax(x, keep):
    return jax.nn.softmax(jnp.where(keep, x, -jnp.inf), axis=-1)


masked_softmax = Op(
    _masked_softmax,
    saving(_masked_softmax, lambda y, x, keep: {"y": y}),
    lambda r, dy: (*softmax.backward(r, dy), None),
    lambda rng: (normal(rng, 3, 6), np.arange(6)[None] < np.array([[1], [6], [3]])),
)


def _masked_logsumexp(x, keep):
    return jax.scipy.special.logsumexp(jnp.where(keep, x, -jnp.inf), axis=-1)


def _masked_logsumexp_backward(r, dy):
    p = jnp.exp(r["x"] - r["y"][:, None])
    return jnp.where(r["keep"], dy[:, None] * p, 0), None


masked_logsumexp = Op(
    _masked_logsumexp,
    saving(_masked_logsumexp, lambda y, x, keep: {"x": x, "keep": keep, "y": y}),
    _masked_logsumexp_backward,
    masked_softmax.draw,
)

ENTRIES = (
    Right("relu-at-zero-0", "u = 0, slope 0", _relu_with(0), apart=True),
    Right("relu-at-zero-half", "u = 0, slope ½", _relu_with(0.5)),
    Right("relu-at-zero-1", "u = 0, slope 1", _relu_with(1), apart=True),
    Right("absolute-at-zero", "u = 0, slope 0", absolute.at(AT_ZERO), apart=True),
    Right(
        "absolute-at-zero-1",
        "u = 0, slope 1",
        elementwise(jnp.abs, lambda u, y: jnp.where(u < 0, -1, 1).astype(u.dtype), AT_ZERO),
    ),
    Right("leaky-relu-at-zero", "u = 0, slope α", leaky_relu.at(AT_ZERO)),
    Right(
        "relu-near-zero",
        "u within 1e-7 of the kink",
        relu.at(_scaled_normals(1e-7, (3, 4))),
        dtypes=RANGE,
    ),
    Right(
        "absolute-near-zero",
        "u within 1e-7 of the kink beside u of size 1",
        absolute.at(exactly([1e-7, -1e-7, 0.5, -2.0, 3e-8])),
        dtypes=RANGE,
    ),
    Right(
        "clip-on-the-bound",
        "u = ±1, slope 1",
        clip.at(exactly([[1.0, -1.0, 0.5], [-1.0, 2.0, -3.0]])),
        apart=True,
    ),
    Right(
        "largest-ties-split",
        "two and three equal largest, shared",
        largest.at(exactly([[1.0, 2.0, 2.0, 0.5], [3.0, 3.0, 1.0, 3.0]])),
    ),
    Right(
        "largest-ties-first",
        "two and three equal largest, all to the first",
        Op(
            largest.primal,
            largest.forward,
            lambda r, dy: (_first_largest(r[0], dy),),
            exactly([[1.0, 2.0, 2.0, 0.5], [3.0, 3.0, 1.0, 3.0]]),
        ),
        apart=True,
    ),
    Right(
        "max-pool-ties-first",
        "equal entries in a window, all to the first",
        max_pool.at(exactly([[2.0, 2.0, 0.0, 1.0, 1.0, 1.0, 3.0, 3.0, 0.5]])),
        apart=True,
    ),
    Right(
        "sort-ties",
        "equal entries, in their order",
        sort.at(exactly([[2.0, 1.0, 2.0, 0.5, 1.0], [3.0, 1.0, 2.0, 4.0, 5.0]])),
    ),
    Right(
        "top-two-ties",
        "the second and third equal",
        top_two.at(exactly([[2.0, 1.0, 2.0, 0.5, 2.0], [3.0, 1.0, 2.0, 4.0, 5.0]])),
    ),
    Right(
        "huber-at-the-joint",
        "|r| = 1, where the slope is continuous",
        huber.at(exactly([[1.0, -0.5, 2.0]], [[0.0, 0.5, 0.25]])),
    ),
    Right(
        "hinge-at-the-margin",
        "a margin of exactly 1, slope 0",
        hinge.at(exactly([1.0, -0.5, 0.25, -1.0], [1.0, 1.0, -1.0, -1.0])),
        apart=True,
        unseen="an ulp beside the margin, in half precision, JAX takes the other slope",
    ),
    Right(
        "norm-of-zeros-safe",
        "a row of zeros, subgradient 0",
        norm.at(exactly([[1.0, 2.0, -0.5], [0.0, 0.0, 0.0], [0.25, 3.0, 1.0]])),
    ),
    Right(
        "norm-of-zeros-plain",
        "the same where JAX's derivative is NaN",
        plain_norm.at(exactly([[1.0, 2.0, -0.5], [0.0, 0.0, 0.0], [0.25, 3.0, 1.0]])),
        unseen="the truth is NaN in a row",
        apart=True,
    ),
    Right("huge", "1e30", inner.at(_scaled_normals(1e30, (5,), (5,))), dtypes=LONG[:1]),
    Right(
        "huge-times-tiny",
        "1e30 × 1e-30",
        inner.at(lambda rng: (1e30 * normal(rng, 5), 1e-30 * normal(rng, 5))),
        dtypes=RANGE,
    ),
    Right("tiny", "1e-30", linear.at(_scaled_normals(1e-30, (5, 3), (3, 4), (4,))), dtypes=RANGE),
    Right("mixed-scales", "1e-8 to 1e6 in one leaf", inner.at(_mixed), dtypes=RANGE),
    Right("half-overflowing", "products of 3e4", inner.at(exactly([150.0, -90.0], [200.0, 64.0]))),
    Right("exponential-tiny", "e⁻⁶⁰", exponential.at(uniform(-62, -58, 3, 4)), dtypes=RANGE),
    Right("exponential-huge", "e⁶⁰", exponential.at(uniform(58, 62, 3, 4)), dtypes=RANGE),
    Right(
        "exponential-steep",
        "e³⁰ᵘ",
        elementwise(lambda u: jnp.exp(30 * u), lambda u, y: 30 * y, uniform(-0.3, 0.3, 3, 3)),
    ),
    Right(
        "power-steep",
        "u²⁰",
        elementwise(lambda u: u**20, lambda u, y: 20 * u**19, uniform(-1.5, 1.5, 7)),
    ),
    Right(
        "root-near-zero",
        "√u at 1e-6",
        elementwise(jnp.sqrt, lambda u, y: 0.5 / y, uniform(1, 9, 2, 3)).at(
            lambda rng: (1e-6 * rng.integers(1, 9, (2, 3)),)
        ),
        dtypes=RANGE,
    ),
    Right(
        "logarithm-near-zero",
        "log u at 1e-6",
        elementwise(jnp.log, lambda u, y: 1 / u, lambda rng: (1e-6 * rng.integers(1, 9, (2, 3)),)),
        dtypes=RANGE,
    ),
    Right(
        "logarithm-of-one-plus",
        "log1p at 1e-8",
        elementwise(
            jnp.log1p, lambda u, y: 1 / (1 + u), lambda rng: (1e-8 * rng.integers(1, 9, 6),)
        ),
        dtypes=RANGE,
    ),
    Right(
        "exponential-minus-one",
        "expm1 at 1e-8, its slope y + 1",
        elementwise(jnp.expm1, lambda u, y: y + 1, lambda rng: (1e-8 * rng.integers(1, 9, 6),)),
        dtypes=RANGE,
    ),
    Right(
        "cosh-near-zero",
        "slope sinh u at 1e-7, without cancellation",
        hyperbolic_cosine.at(lambda rng: (1e-7 * normal(rng, 4, 3),)),
        dtypes=RANGE,
    ),
    Right(
        "one-minus-cosine",
        "1 − cos u as 2 sin²(u/2) at 1e-3",
        elementwise(
            lambda u: 2 * jnp.sin(u / 2) ** 2,
            lambda u, y: jnp.sin(u),
            lambda rng: (1e-3 * normal(rng, 5),),
        ),
        dtypes=RANGE,  # 1e-6 has few digits in float16
    ),
    Right("sigmoid-tails", "u = ±45", sigmoid.at(uniform(40, 50, 3, 4)), dtypes=RANGE),
    Right("tanh-tails", "u = 12", tanh.at(uniform(11, 13, 3, 4)), dtypes=RANGE),
    Right("log-sigmoid-tail", "u = 45", log_sigmoid.at(uniform(40, 50, 6)), dtypes=RANGE),
    Right("gelu-tail-kept", "u = −10", gelu.at(uniform(-10, -8, 6)), dtypes=RANGE),
    Right(
        "softplus-far",
        "u = ±1e4",
        softplus.at(exactly([-1e4, 1e4, 0.5, -30.0, 12.0])),
    ),
    Right("swish-far", "u = ±800", swish.at(exactly([-800.0, 800.0, 0.5, -3.0]))),
    Right("cosine-far", "u = 500", cosine.at(uniform(400, 600, 5)), dtypes=LONG),
    Right("softmax-huge-logit", "one logit of 100", softmax.at(_one_huge_logit)),
    Right("softmax-equal", "all logits equal", softmax.at(exactly([[0.5] * 4, [2.0] * 4]))),
    Right(
        "softmax-far", "logits of 1e4", softmax.at(exactly([[1e4, 1e4 - 1, 9990.0]])), dtypes=LONG
    ),
    Right("softmax-masked", "−∞ behind a mask", masked_softmax),
    Right(
        "softmax-of-minus-infinity",
        "−∞ in the input",
        softmax.at(_with_minus_infinity),
        unseen="no difference can be taken at −∞",
    ),
    Right("logsumexp-equal", "equal values", logsumexp.at(exactly([[2.0] * 3, [-1.0] * 3]))),
    Right(
        "logsumexp-far",
        "values of ±1e4, softmax by the largest",
        Op(
            logsumexp.primal,
            saving(logsumexp.primal),
            lambda r, dy: (dy * softmax.primal(r[0]),),
            exactly([1e4, -1e4, 1e4 - 8]),
        ),
    ),
    Right("logsumexp-masked", "−∞ behind a mask", masked_logsumexp),
    Right(
        "logsumexp-of-minus-infinity",
        "−∞ in the input",
        logsumexp.at(_with_minus_infinity),
        unseen="no difference can be taken at −∞",
    ),
    Right("log-softmax-huge-logit", "one logit of 100", log_softmax.at(_one_huge_logit)),
    Right(
        "causal-attention-sharp",
        "−∞ above the diagonal, scores of ±30",
        causal_attention.at(_scaled_normals(4.0, *[(1, 4, 3)] * 3)),
        dtypes=LONG,  # scores of 30 have no digits behind the point in half precision
    ),
    Right(
        "cross-entropy-confident",
        "the label's probability 1 − 1e-9 beside one of ¼",
        cross_entropy.at(exactly([[20.0, 0.0, -1.0], [0.5, 0.25, 1.0]], np.array([0, 1]))),
    ),
    Right(
        "binary-far",
        "logits of ±50",
        binary.at(exactly([[50.0, -50.0], [0.5, -30.0]], [[1.0, 0.0], [0.25, 1.0]])),
    ),
    Right(
        "layer-norm-far",
        "mean 1000, deviation 0.01",
        layer_norm.at(_far_from_zero),
        unseen="every row is constant in half precision",
    ),
    Right(
        "layer-norm-constant-row",
        "a row of equal values: only ε under the root",
        layer_norm.at(CONSTANT_ROW),
    ),
    Right(
        "layer-norm-one-feature",
        "x̂ = 0",
        layer_norm.at(normals((4, 1), (1,), (1,))),
        unseen="dx and dscale are 0 throughout",
    ),
    Right(
        "rms-norm-tiny",
        "x of 1e-3: ε beside the mean square",
        rms_norm.at(_few_thousandths),
        dtypes=RANGE,  # 1e-6 has few digits in float16
    ),
    *(
        Right(f"{name}-in-float32", "the same, half precision raised to float32", widened(op))
        for name, op in {
            "layer-norm": layer_norm,
            "softmax": softmax,
            "rms-norm-tiny": rms_norm.at(_few_thousandths),
            "layer-norm-constant-row": layer_norm.at(CONSTANT_ROW),
            "gelu": gelu,
            "unit-long": unit.at(_scaled_normals(100.0, (3, 7))),
            "causal-attention-sharp": causal_attention.at(_scaled_normals(4.0, *[(1, 4, 3)] * 3)),
        }.items()
    ),
    Right(
        "layer-norm-far-in-float32",
        "the same, half precision raised to float32",
        widened(layer_norm.at(_far_from_zero)),
        unseen="every row is constant in half precision",
    ),
    Right(
        "unit-long",
        "‖x‖ of 1e3",
        unit.at(_scaled_normals(100.0, (3, 7))),
        dtypes=RANGE,  # ‖x‖² overflows in float16
    ),
    Right(
        "variance-far",
        "mean 1000, deviation 1, centred twice",
        Op(
            variance.primal,
            saving(variance.primal, lambda y, x: {"c": _centred(_centred(x))}),
            variance.backward,
            _thousands,
        ),
    ),
    Right(
        "long-sum",
        "1e5 terms",
        sum_of_squares.at(normals((100_000,))),
        dtypes=RANGE,  # the sum overflows in float16
    ),
    Right("long-batch", "db over 20000 samples", linear.at(normals((20_000, 2), (2, 3), (3,)))),
    Right("long-cumsum", "a running sum of 500", cumsum.at(normals((2, 500)))),
    Right(
        "long-row",
        "softmax over 5000",
        softmax.at(normals((2, 5000))),
    ),
    Right(
        "centred",
        "x − ⟨x⟩ at mean 100",
        Op(
            lambda x: x - mean(x),
            lambda x: (x - mean(x), ()),
            lambda r, dy: (dy - mean(dy),),
            lambda rng: (100 + normal(rng, 3, 5),),
        ),
    ),
)
