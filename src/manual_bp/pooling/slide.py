"""The windows of a pool: one after another by default, and none that reads padding alone."""

import jax

from manual_bp import op, windows
from manual_bp.windows import Numbers, Padding, Windows


def slide(
    name: str,
    x: jax.Array,
    window: Numbers,
    strides: Numbers | None,
    padding: Padding,
    dilation: Numbers = 1,
) -> Windows:
    """Return the windows over x, (b, *spatial, c), or raise a ValueError where they do not fit."""
    op.expect_rank(name, "x", x, 3, None)
    kernel = windows.whole_numbers(name, "window", window, x.ndim - 2)
    strides = kernel if strides is None else strides
    over = windows.over(
        name, x.shape[1:-1], kernel, strides=strides, padding=padding, dilation=dilation
    )
    if not over.members().all():
        wanted = "an element of x in every window"
        raise ValueError(op.complaint(name, "padding", wanted, padding))
    return over
