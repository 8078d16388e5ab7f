"""Convolution, pooling, padding with their backward passes, right."""

import jax.numpy as jnp
from entry import Op, normals, saving
from jax import lax

TIME = ("NHC", "HIO", "NHC")
IMAGE = ("NHWC", "HWIO", "NHWC")


def conv_1d(stride, padding):
    """Return the convolution over (batch, time, channel) with its kernel (k, c, d)."""

    def primal(x, kernel):
        return lax.conv_general_dilated(
            x, kernel, (stride,), [(padding, padding)], dimension_numbers=TIME
        )

    def backward(residual, dy):
        return _conv_1d_dx(dy, *residual, stride, padding), conv_1d_dkernel(
            dy, *residual, stride, padding
        )

    return Op(primal, saving(primal), backward, normals((2, 7, 3), (3, 3, 4)))


def taps(x, width, stride, padding, count):
    """Return what each tap of the kernel reads: (width, batch, count, channel)."""
    x = jnp.pad(x, ((0, 0), (padding, padding), (0, 0)))
    return jnp.stack([x[:, k : k + stride * (count - 1) + 1 : stride] for k in range(width)])


def conv_1d_dkernel(dy, x, kernel, stride, padding):
    """Return dkernel: the correlation of what each tap read with dy."""
    read = taps(x, kernel.shape[0], stride, padding, dy.shape[1])
    return jnp.einsum("kbtc,btd->kcd", read, dy)


def padded_dx(dy, x, kernel, stride, padding):
    """Return dx with the padding's cotangent still on it."""
    dx = jnp.zeros((x.shape[0], x.shape[1] + 2 * padding, x.shape[2]), x.dtype)
    for k in range(kernel.shape[0]):
        share = jnp.einsum("btd,cd->btc", dy, kernel[k])
        dx = dx.at[:, k : k + stride * (dy.shape[1] - 1) + 1 : stride].add(share)
    return dx


def _conv_1d_dx(dy, x, kernel, stride, padding):
    return padded_dx(dy, x, kernel, stride, padding)[:, padding : padding + x.shape[1]]


conv = conv_1d(1, 1)
strided_conv = conv_1d(2, 1)
valid_conv = conv_1d(1, 0)


def _conv_2d(x, kernel, bias):
    y = lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=IMAGE)
    return y + jnp.broadcast_to(bias, y.shape)


def _conv_2d_backward(residual, dy):
    x, kernel, _ = residual
    (height, width), (rows, columns) = dy.shape[1:3], kernel.shape[:2]
    dx, dkernel = jnp.zeros_like(x), jnp.zeros_like(kernel)
    for i in range(rows):
        for j in range(columns):
            window = (slice(None), slice(i, i + height), slice(j, j + width))
            dx = dx.at[window].add(jnp.einsum("bhwd,cd->bhwc", dy, kernel[i, j]))
            dkernel = dkernel.at[i, j].set(jnp.einsum("bhwc,bhwd->cd", x[window], dy))
    return dx, dkernel, dy.sum((0, 1, 2))


conv_2d = Op(
    _conv_2d, saving(_conv_2d), _conv_2d_backward, normals((2, 5, 4, 3), (3, 3, 3, 3), (3,))
)


def _average_pool(x):
    return x.reshape(x.shape[0], 3, 2, 2, 2, x.shape[3]).mean((2, 4))


def spread(dy):
    """Return dy copied to the 2 × 2 pixels of its window."""
    return jnp.repeat(jnp.repeat(dy, 2, 1), 2, 2)


average_pool = Op(
    _average_pool,
    saving(_average_pool, lambda y, x: ()),
    lambda r, dy: (spread(dy) / 4,),
    normals((2, 6, 4, 3)),
)


def _windows(x):
    """Return the windows of 3 at stride 2 over (batch, time), which overlap by one."""
    count = (x.shape[1] - 3) // 2 + 1
    return jnp.stack([x[:, k : k + 2 * (count - 1) + 1 : 2] for k in range(3)])


def _max_pool(x):
    return _windows(x).max(0)


def max_pool_dx(x, dy, add=True):
    """Return dx: each dy at the first largest of its window; `add` where windows overlap."""
    first = _windows(x).argmax(0)
    at = first + 2 * jnp.arange(dy.shape[1])[None]
    target = jnp.zeros_like(x).at[jnp.arange(len(x))[:, None], at]
    return target.add(dy) if add else target.set(dy)


max_pool = Op(
    _max_pool,
    saving(_max_pool),
    lambda r, dy: (max_pool_dx(r[0], dy),),
    normals((3, 9)),
)


def counts(length):
    """Return how many of a window of 3, padded by 1, lie inside."""
    return jnp.full(length, 3).at[jnp.array([0, length - 1])].set(2)


def _padded_average(x):
    p = jnp.pad(x, ((0, 0), (1, 1)))
    inside = counts(x.shape[1]).astype(x.dtype)
    return (p[:, :-2] + p[:, 1:-1] + p[:, 2:]) / inside[None]


def three_wide_sum(d):
    """Return the sum of each entry and its two neighbours."""
    p = jnp.pad(d, ((0, 0), (1, 1)))
    return p[:, :-2] + p[:, 1:-1] + p[:, 2:]


padded_average = Op(
    _padded_average,
    saving(_padded_average),
    lambda r, dy: (three_wide_sum(dy / counts(dy.shape[1]).astype(dy.dtype)[None]),),
    normals((3, 7)),
)


def _pad(x):
    return jnp.pad(x, ((0, 0), (1, 2)))


pad = Op(_pad, saving(_pad, lambda y, x: ()), lambda r, dy: (dy[:, 1:-2],), normals((2, 5)))


def _upsample(x):
    return spread(x)


upsample = Op(
    _upsample,
    saving(_upsample, lambda y, x: ()),
    lambda r, dy: (
        dy.reshape(dy.shape[0], dy.shape[1] // 2, 2, dy.shape[2] // 2, 2, -1).sum((2, 4)),
    ),
    normals((2, 3, 2, 2)),
)


def _every_other(x):
    return x[::2], x[1::2]


def interleave(even, odd):
    """Return the entries of the two in turn; `even` may be longer by one."""
    y = jnp.zeros((len(even) + len(odd), *even.shape[1:]), even.dtype)
    return y.at[::2].set(even).at[1::2].set(odd)


every_other = Op(
    _every_other,
    saving(_every_other, lambda y, x: ()),
    lambda r, dy: (interleave(*dy),),
    normals((7, 2)),
)


def _smooth(x):
    return x[:-2] + x[1:-1] + x[2:]


def _smooth_backward(residual, dy):
    p = jnp.pad(dy, 2)
    return (p[:-2] + p[1:-1] + p[2:],)


smooth = Op(_smooth, saving(_smooth), _smooth_backward, normals((11,)))
