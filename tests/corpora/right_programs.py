"""Right rules that are awkward programs: loops, host code, Python control flow, custom_jvp."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from entry import DTYPES, Op, Right, exactly, normal, normals, saving, uniform, wide
from jax import lax
from ops_convolution import conv
from ops_dense import linear, mlp, polar, two_outputs
from ops_elementwise import cosine, elementwise, logistic, relu, softplus
from ops_indexing import embedding
from ops_normalization import layer_norm, softmax
from ops_sequences import rnn


def _newton_root(u):
    """Return √u by Newton's method, in a loop that JAX cannot differentiate backwards."""

    def better(state):
        y, _ = state
        return (y + u / y) / 2, y

    def moving(state):
        y, before = state
        return jnp.any(jnp.abs(y - before) > 4 * jnp.finfo(u.dtype).eps * y)

    return lax.while_loop(moving, better, (u, jnp.zeros_like(u)))[0]


def _root(u):
    return jnp.sqrt(u)


newton_root = Op(
    _root, lambda u: (_newton_root(u),) * 2, lambda y, dy: (dy / (2 * y),), uniform(0.5, 4, 5)
)


def _repeated_squares(x):
    return x**8


def _repeated_squares_forward(x):
    def square(i, state):
        y, saved = state
        return y * y, saved.at[i].set(y)

    return lax.fori_loop(0, 3, square, (x, jnp.zeros((3, *x.shape), x.dtype)))


def _repeated_squares_backward(saved, dy):
    return (lax.fori_loop(0, 3, lambda i, d: 2 * d * saved[2 - i], dy),)


repeated_squares = Op(
    _repeated_squares,
    _repeated_squares_forward,
    _repeated_squares_backward,
    uniform(0.5, 1.5, 2, 3),
)


def _polynomial(coefficients, x):
    powers = jnp.stack([jnp.ones_like(x), x, x**2, x**3])
    return jnp.einsum("k,kn->n", coefficients, powers)


def _horner(coefficients, x):
    y = lax.scan(lambda y, c: (y * x + c, None), jnp.zeros_like(x), coefficients[::-1])[0]
    return y, (coefficients, x)


def _horner_backward(residual, dy):
    coefficients, x = residual

    def step(state, c):
        y, slope = state
        return (y * x + c, slope * x + y), None

    zeros = jnp.zeros_like(x)
    _, slope = lax.scan(step, (zeros, zeros), coefficients[::-1])[0]
    _, dc = lax.scan(lambda p, _: (p * x, (p * dy).sum()), jnp.ones_like(x), None, 4)
    return dc, dy * slope


horner = Op(_polynomial, _horner, _horner_backward, normals((4,), (5,)))


def _solve(A, b):
    return jnp.linalg.solve(wide(A), wide(b)).astype(b.dtype)


def _solve_backward(residual, dx):
    A, x = residual
    db = _solve(A.T, dx)
    return -jnp.outer(db, x), db


solve = Op(
    _solve,
    saving(_solve, lambda x, A, b: (A, x)),
    _solve_backward,
    lambda rng: (3 * np.eye(3) + 0.5 * normal(rng, 3, 3), normal(rng, 3)),
)


def _branching_backward(residual, dy):
    """Return relu's du, or take a short cut where nothing is below 0: a choice made in Python."""
    u = residual
    if bool((u > 0).all()):
        return (dy,)
    return (dy * (u > 0).astype(dy.dtype),)


branching = Op(relu.primal, lambda u: (jnp.maximum(u, 0), u), _branching_backward, normals((3, 4)))


def _numpy_backward(residual, dy):
    u = np.asarray(residual, np.float64)
    return (jnp.asarray(-np.sin(u) * np.asarray(dy, np.float64)).astype(dy.dtype),)


in_numpy = Op(cosine.primal, lambda u: (jnp.cos(u), u), _numpy_backward, normals((3, 4)))


def _host_backward(residual, dy):
    """Return du computed on the host by a callback, which knows no vmap."""
    du = jax.pure_callback(
        lambda u, d: np.asarray(-np.sin(np.asarray(u, np.float64)) * np.asarray(d)).astype(u.dtype),
        jax.ShapeDtypeStruct(dy.shape, dy.dtype),
        residual,
        dy,
    )
    return (du,)


on_the_host = Op(cosine.primal, lambda u: (jnp.cos(u), u), _host_backward, normals((2, 3)))

sizes_saved = Op(
    lambda x: x.mean(),
    lambda x: (x.mean(), x.shape),
    lambda shape, dy: (jnp.broadcast_to(dy, shape) / np.prod(shape).item(),),
    normals((3, 5)),
)

in_float32 = elementwise(
    jnp.tanh,
    lambda u, y: (1 - jnp.tanh(u.astype(jnp.float32)) ** 2).astype(u.dtype),
    normals((4, 3)),
)

in_float64 = elementwise(
    jnp.sin, lambda u, y: jnp.cos(u.astype(jnp.float64)).astype(u.dtype), normals((4, 3))
)


def _blocks(x):
    return (x**3).sum()


def _blocks_forward(x):
    blocks = jnp.pad(x, (0, -x.size % 4)).reshape(-1, 4)
    return lax.map(lambda block: (block**3).sum(), blocks).sum(), x


blocked = Op(_blocks, _blocks_forward, lambda x, dy: (3 * dy * x**2,), normals((11,)))


def _clipped_rows(table, ids):
    return jnp.take(table, ids, axis=0, mode="clip")


clipped_rows = Op(
    _clipped_rows,
    saving(_clipped_rows),
    lambda r, dy: (jnp.zeros_like(r[0]).at[jnp.clip(r[1], 0, len(r[0]) - 1)].add(dy), None),
    lambda rng: (normal(rng, 4, 2), np.array([0, 7, 2, 9, -5])),
)


def _dropped_rows(x, at, v):
    return x.at[at].add(v, mode="drop")


def _dropped_rows_backward(residual, dy):
    _, at, _ = residual
    inside = (at < len(dy)).astype(dy.dtype)
    return dy, None, dy[jnp.minimum(at, len(dy) - 1)] * inside


dropped_rows = Op(
    _dropped_rows,
    saving(_dropped_rows),
    _dropped_rows_backward,
    lambda rng: (normal(rng, 4), np.array([1, 6, 1]), normal(rng, 3)),
)


def _settled(x):
    return jnp.where(x > 0, x, jnp.exp(jnp.where(x > 0, 0, x)) - 1)


elu = Op(
    _settled,
    lambda x: (lax.select(x > 0, x, jnp.expm1(jnp.minimum(x, 0))), x),
    lambda x, dy: (dy * jnp.exp(jnp.minimum(x, 0)),),
    normals((3, 4)),
)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def power(x, n):
    return x**n


power.defvjp(lambda x, n: (x**n, x), lambda n, x, dy: (dy * n * x ** (n - 1),))


@jax.custom_jvp
def log_one_plus_exp(u):
    return jnp.logaddexp(u, 0.0)


@log_one_plus_exp.defjvp
def _(primals, tangents):
    (u,), (du,) = primals, tangents
    return log_one_plus_exp(u), du * logistic(u)


@jax.custom_jvp
def guarded_product(a, b):
    return a * b


guarded_product.defjvps(lambda da, y, a, b: da * b, lambda db, y, a, b: a * db)


@jax.custom_jvp
def safe_norm(x):
    square = (x**2).sum()
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)


@safe_norm.defjvp
def _(primals, tangents):
    (x,), (dx,) = primals, tangents
    y = safe_norm(x)
    return y, jnp.where(y > 0, (x * dx).sum() / jnp.where(y > 0, y, 1), 0)


def _of_rule(primal, draw):
    return Op(primal, saving(primal), lambda r, dy: (), draw)


def _safe_norm(x):
    square = (x**2).sum()
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)


_LOG = _of_rule(lambda u: jnp.logaddexp(u, 0.0), normals((3, 4)))
_PRODUCT = _of_rule(lambda a, b: a * b, normals((5,), (5,)))
_POWER = _of_rule(lambda x, n: x**n, lambda rng: (*uniform(0.5, 2, 2, 3)(rng), 3))
_NORM = _of_rule(_safe_norm, normals((6,)))

ENTRIES = (
    Right("while-loop", "Newton's method forward, the implicit derivative back", newton_root),
    Right("fori-loop", "squared three times", repeated_squares),
    Right("scan", "Horner's rule", horner),
    Right("implicit-solve", "A x = b, solved again for the adjoint", solve),
    Right("blocks", "11 entries in blocks of 4", blocked),
    Right("python-branch", "a branch on values, in Python: no jit", branching, unseen="no jit"),
    Right("numpy-inside", "a backward in NumPy: no jit", in_numpy, unseen="no jit"),
    Right("host-callback", "a backward on the host: no vmap", on_the_host, unseen="no vmap"),
    Right("sizes-saved", "a shape among the residuals", sizes_saved, unseen="no jit"),
    Right("float32-whatever", "float32 inside whatever the input", in_float32, dtypes=DTYPES[1:]),
    Right("float64-whatever", "float64 inside whatever the input", in_float64),
    Right("clipped-indices", "indices out of range, clipped", clipped_rows),
    Right("dropped-indices", "indices out of range, dropped", dropped_rows),
    Right("elu", "another forward than the primal's", elu),
    Right("rule-linear-right", "a custom_vjp", linear, rule=linear.rule()),
    Right("rule-linear-right-alone", "without primal", linear, rule=linear.rule(), alone=True),
    Right("rule-layer-norm-right", "a custom_vjp", layer_norm, rule=layer_norm.rule()),
    Right("rule-embedding-right-alone", "integers", embedding, rule=embedding.rule(), alone=True),
    Right("rule-mlp-right", "a tree", mlp, rule=mlp.rule()),
    Right("rule-polar-right", "a dict out", polar, rule=polar.rule(), alone=True),
    Right("rule-rnn-right", "two outputs, a scan", rnn, rule=rnn.rule()),
    Right(
        "rule-two-outputs-alone", "a tuple out", two_outputs, rule=two_outputs.rule(), alone=True
    ),
    Right("rule-softmax-right-alone", "a custom_vjp", softmax, rule=softmax.rule(), alone=True),
    Right("rule-conv-right-alone", "rank 3", conv, rule=conv.rule(), alone=True),
    Right("rule-softplus-right", "a custom_vjp", softplus, rule=softplus.rule()),
    Right(
        "rule-relu-at-zero-alone",
        "u = 0, slope 0",
        relu.at(exactly([0.0, 1.5, -2.0, 0.0])),
        rule=relu.rule(),
        alone=True,
        apart=True,
    ),
    Right("jvp-softplus-right", "a custom_jvp", _LOG, rule=log_one_plus_exp),
    Right("jvp-softplus-right-alone", "without primal", _LOG, rule=log_one_plus_exp, alone=True),
    Right("jvp-product", "a custom_jvp of two arguments", _PRODUCT, rule=guarded_product),
    Right("jvp-safe-norm", "a custom_jvp", _NORM, rule=safe_norm),
    Right(
        "jvp-safe-norm-at-zero",
        "at 0, subgradient 0",
        _NORM.at(exactly([0.0, 0.0, 0.0])),
        rule=safe_norm,
        unseen="the gradient is 0 by convention",
    ),
    Right("rule-power", "n among nondiff_argnums", _POWER, rule=power),
    Right("rule-power-alone", "without primal", _POWER, rule=power, alone=True),
)
