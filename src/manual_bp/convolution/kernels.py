"""What a kernel must be, and the three products of a convolution; shared by the convolutions.

Shapes   x: (b, *size, n)   W: (*kernel, n, m)   δ: (b, *count, m)
Forms    Without groups a product is one convolution of XLA, which on a CPU is faster than a product
         for each tap and needs no copy of what the taps read:
           u  = x ∗ W, with the strides, dilation and padding of the windows
           dx = δ ∗ W', where W'ₒ = W_{k−1−o}ᵀ, over δ with s − 1 zeros between its places and
                d (k−1) − p of them before: at place j tap k−1−o of W' reads the place si of the
                window i with si + do − p = j.
         On a CPU both are taken over all images side by side, as one long image, where their
         channels are neither few nor many: XLA then has work for more than one core.
           dW = x ∗ δ over the batch: the windows are the taps of a kernel as large as the output,
                stride and dilation change places, and so do batch and channels. In a few pieces of
                a large batch, whose dW are summed. Of a kernel with few rows, as on images of one
                channel, it is one product of δ with all that the taps read (docs/FORMS.md).
         With groups and with one tap each tap is a matrix product of its own, over what `Windows`
         reads: XLA's CPU code takes longer there (docs/FORMS.md).
"""

import math
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op, setting, windows
from manual_bp.dense import products
from manual_bp.windows import Windows

# Channels of input and output of images that are laid side by side, and the products that a line of
# the long image takes.
FEW, MANY_CHANNELS, PRODUCTS = 32, 128, 2**23
# A batch of `MANY` samples or more is cut into at most `PIECES` pieces, of at least `SAMPLES`.
MANY, SAMPLES, PIECES = 32, 8, 8


def expect_kernel(place: str, x: jax.Array, W: jax.Array, groups: int) -> int:
    """Return the groups; raise a ValueError unless W is (*kernel, c / groups, m) for x."""
    op.expect_rank(place, "x", x, 3, None)
    channels = x.shape[-1]
    wanted = f"a divisor of the {channels} channels of x"
    groups = setting.expect_whole(place, "groups", groups, 1, wanted)
    if channels % groups:
        raise ValueError(op.complaint(place, "groups", wanted, groups))
    shape = (*(None,) * (x.ndim - 2), channels // groups, None)
    op.expect_shape(place, "W", W, shape, f"for x of shape {x.shape} and groups={groups}")
    if W.shape[-1] % groups:
        wanted = f"a divisor of the {W.shape[-1]} channels of y"
        raise ValueError(op.complaint(place, "groups", wanted, groups))
    expect_taps(place, W)
    return groups


def expect_taps(place: str, W: jax.Array) -> None:
    """Raise a ValueError if the kernel has no taps along an axis."""
    if 0 in W.shape[:-2]:
        raise ValueError(op.complaint(place, "W", "one tap or more", f"shape {W.shape}"))


def add_bias(
    place: str, u: Float[Array, "*shape m"], x: jax.Array, b: Float[Array, " m"] | None
) -> Float[Array, "*shape m"]:
    """Return u + b, rounded to the dtype of x; u alone where there is no bias."""
    if b is not None:
        _, b = op.floating(place, x=x, b=b)
        op.expect_shape(place, "b", b, u.shape[-1:], f"for {u.shape[-1]} channels of y")
        u = u + jnp.broadcast_to(op.wide(b), u.shape)
    return u.astype(x.dtype)


def sum_places(du: Float[Array, "*shape m"]) -> Float[Array, " m"]:
    """Return the sum over all but the channels; JAX accumulates half precision in float32."""
    return du.sum(tuple(range(du.ndim - 1)))


def convolved(
    x: Float[Array, "b *size c"], W: Float[Array, "*kernel n m"], over: Windows, groups: int
) -> Float[Array, "b *count m"]:
    """Return Σₒ x⁽ᵒ⁾ Wₒ in the dtype of sums."""
    if _by_taps(groups, over):
        return windows.total(times(read, W[o], groups) for o, read in over.reads(x))
    apart = (1,) * len(over.strides)
    return _by_xla(x, W, over.strides, over.padding, apart, over.dilation)


def pull_back(
    dy: Float[Array, "b *count m"], W: Float[Array, "*kernel n m"], over: Windows, groups: int
) -> Float[Array, "b *size c"]:
    """Return dx in the dtype of sums."""
    if _by_taps(groups, over):
        return over.put_back(lambda o: times(dy, turned(W[o], groups), groups))
    reach = [d * (k - 1) for d, k in zip(over.dilation, over.kernel, strict=True)]
    around = [
        (r - before, size - s * (count - 1) - 1 + before)
        for r, (before, _), size, s, count in zip(
            reach, over.padding, over.size, over.strides, over.count, strict=True
        )
    ]
    W_turned, strides = jnp.flip(W, range(W.ndim - 2)).mT, (1,) * len(over.strides)
    return _by_xla(dy, W_turned, strides, around, over.strides, over.dilation)


def of_kernel(
    x: Float[Array, "b *size c"],
    dy: Float[Array, "b *count m"],
    W: Float[Array, "*kernel n m"],
    over: Windows,
    groups: int,
) -> Float[Array, "*kernel n m"]:
    """Return dW; the sums of half precision are accumulated in float32 and rounded once."""
    if _by_taps(groups, over):
        taps = [transposed_times(read, dy, groups) for _, read in over.reads(x)]
        return jnp.stack(taps).reshape(W.shape)
    if pays_patches(W):
        return _from_patches(x, dy, W, over)
    around = [
        (before, d * (k - 1) + s * (count - 1) + 1 - size - before)
        for d, k, s, count, size, (before, _) in zip(
            over.dilation,
            over.kernel,
            over.strides,
            over.count,
            over.size,
            over.padding,
            strict=True,
        )
    ]
    last, places = x.ndim - 1, range(1, x.ndim - 1)
    numbers = jax.lax.ConvDimensionNumbers(
        (last, 0, *places), (last, 0, *places), (last - 1, last, *range(last - 1))
    )
    return windows.total(
        jax.lax.conv_general_dilated(
            some,
            d,
            over.dilation,
            around,
            rhs_dilation=over.strides,
            dimension_numbers=numbers,
            preferred_element_type=op.wide_dtype(x.dtype),
        )
        for some, d in _pieces(x, dy)
    ).astype(x.dtype)


def pays_patches(W: Float[Array, "*kernel n m"]) -> bool:
    """Return whether dW is had faster from patches, and they need no more memory, on this machine.

    They are as many numbers a place as the kernel's rows; the convolution over the batch needs
    both channels of input and of output in another order.
    """
    rows = math.prod(W.shape[:-1])
    return jax.default_backend() == "cpu" and rows <= sum(W.shape[-2:])


def _from_patches(
    x: Float[Array, "b *size n"],
    dy: Float[Array, "b *count m"],
    W: Float[Array, "*kernel n m"],
    over: Windows,
) -> Float[Array, "*kernel n m"]:
    """Return dW as one product of what each tap reads of each channel with δ.

    JAX accumulates the sums of half precision in float32 and rounds each once.
    """
    *_, n, m = W.shape
    apart = jnp.moveaxis(x, -1, 0).reshape(n * len(x), *over.size)[..., None]
    patches = jnp.stack([read for _, read in over.reads(apart)])
    places = len(x) * math.prod(over.count)
    rows = patches.reshape(len(over.taps) * n, places)
    return (rows @ dy.reshape(places, m)).reshape(W.shape)


def _pieces(
    x: Float[Array, "b *size n"], dy: Float[Array, "b *count m"]
) -> Iterator[tuple[Float[Array, "_ *size n"], Float[Array, "_ *count m"]]]:
    """Yield the samples with their δ, in pieces if they are many.

    No piece of x is cut before δ is known. XLA would bring all of them into the order of the
    product as soon as x is, in front of what the forward waits for, and keep them.
    """
    if not pays_in_pieces(x):
        yield x, dy
        return
    start = op.zero_after(dy)
    for some in jnp.array_split(dy, min(len(x) // SAMPLES, PIECES)):
        yield jax.lax.dynamic_slice_in_dim(x, start, len(some)), some
        start += len(some)


def pays_in_pieces(x: Float[Array, "b *size n"]) -> bool:
    """Return whether a batch is large enough to be cut, and the machine one that this is for."""
    return len(x) >= MANY and jax.default_backend() == "cpu"


def turned(W: Float[Array, "*kernel n m"], groups: int) -> Float[Array, "*kernel k c"]:
    """Return the kernel with its channels of input and of output exchanged, group by group."""
    *taps, n, m = W.shape
    blocks = W.reshape(*taps, n, groups, m // groups)
    exchanged = jnp.einsum("...ngm->...mgn", blocks)
    return exchanged.reshape(*taps, m // groups, groups * n)


def _by_taps(groups: int, over: Windows) -> bool:
    """Return whether each tap is a product of its own, which is right in any case."""
    return groups > 1 or math.prod(over.kernel) == 1


def _by_xla(
    x: jax.Array,
    W: jax.Array,
    strides: Sequence[int],
    around: Sequence[tuple[int, int]],
    apart: Sequence[int],
    dilation: Sequence[int],
) -> jax.Array:
    """Return the convolution of x, its places set apart, in the dtype of sums."""
    if pays_side_by_side(x, W, strides, around, apart, dilation):
        return _side_by_side(x, W, strides, around, dilation)
    last, places = x.ndim - 1, range(1, x.ndim - 1)
    layout = jax.lax.ConvDimensionNumbers(
        (0, last, *places), (last, last - 1, *range(last - 1)), (0, last, *places)
    )
    sums = op.wide_dtype(x.dtype)
    return jax.lax.conv_general_dilated(
        x, W, strides, around, apart, dilation, layout, preferred_element_type=sums
    )


def pays_side_by_side(
    x: jax.Array,
    W: jax.Array,
    strides: Sequence[int],
    around: Sequence[tuple[int, int]],
    apart: Sequence[int],
    dilation: Sequence[int],
) -> bool:
    """Return whether images side by side are right, and faster on this machine."""
    if x.ndim != 4 or {*apart} != {1} or jax.default_backend() != "cpu":
        return False
    (before, after), reach = around[-1], dilation[-1] * (W.shape[1] - 1)
    if not 0 <= min(before, after) <= reach:
        return False
    outputs = len(x) * (x.shape[2] + max(before, after)) // strides[-1]
    few, many = sorted(W.shape[2:])
    fits = FEW <= few < MANY_CHANNELS and many <= MANY_CHANNELS
    return fits and outputs * math.prod(W.shape) >= PRODUCTS


def _side_by_side(
    x: Float[Array, "b h w c"],
    W: Float[Array, "i j n m"],
    strides: Sequence[int],
    around: Sequence[tuple[int, int]],
    dilation: Sequence[int],
) -> Float[Array, "b k l m"]:
    """Return the convolution of all images as of one, in the dtype of sums.

    Behind each there are as many columns of zeros as the larger padding has, or some more; what is
    before it are those of the image before. Outputs that lie between two images are left out.
    """
    b, h, w, c = x.shape
    (before, after), reach = around[1], dilation[1] * (W.shape[1] - 1)
    wide = -(-(w + max(before, after)) // strides[1]) * strides[1]
    sums = op.wide_dtype(x.dtype)
    line = jnp.pad(jnp.einsum("bhwc->hbwc", x), ((0, 0), (0, 0), (0, wide - w), (0, 0)))
    u = jax.lax.conv_general_dilated(
        line.reshape(h, b * wide, c)[None],
        W,
        strides,
        (around[0], (before, reach - before)),
        rhs_dilation=dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        preferred_element_type=sums,
    )
    images = u.reshape(u.shape[1], b, wide // strides[1], u.shape[3])
    count = (w + before + after - reach - 1) // strides[1] + 1
    return jnp.einsum("hbwm->bhwm", images[:, :, :count])


def _split(x: Float[Array, "*shape c"], groups: int) -> Float[Array, "*shape groups n"]:
    return x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)


def times(
    x: Float[Array, "*shape c"], w: Float[Array, "n m"], groups: int
) -> Float[Array, "*shape m"]:
    """Return x w, each group of channels by its own columns of w, in the dtype of sums."""
    wide = op.wide_dtype(x.dtype)
    if groups == 1:
        return jnp.matmul(x, w, preferred_element_type=wide)
    u = jnp.einsum(
        "...gn,ngm->...gm", _split(x, groups), _split(w, groups), preferred_element_type=wide
    )
    return u.reshape(*x.shape[:-1], w.shape[-1])


def transposed_times(
    x: Float[Array, "*shape c"], du: Float[Array, "*shape m"], groups: int
) -> Float[Array, "n m"]:
    """Return xᵀ du summed over all but the channels, group by group.

    JAX accumulates the sums of half precision in float32 and rounds each once.
    """
    rows = math.prod(x.shape[:-1])
    x, du = (a.reshape(rows, a.shape[-1]) for a in (x, du))
    if groups > 1:
        dw = jnp.einsum("rgn,rgm->ngm", _split(x, groups), _split(du, groups))
        return dw.reshape(x.shape[-1] // groups, du.shape[-1])
    return products.transposed_times(x, du)
