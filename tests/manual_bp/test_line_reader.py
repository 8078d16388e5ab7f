"""The reader of lines: its start, its gradients, what padding does to it, what it refuses."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ref import check_model, references
from manual_bp import line_reader

KEY = jax.random.key(0)
POOLS = ((2, 2), (2, 1))


def _reader(dtype: Any = jnp.float64) -> Any:
    params = line_reader.init(KEY, 4, (1, 2, 3), 2, 4, pools=POOLS, dtype=dtype)
    return jax.tree.map(lambda leaf: leaf + 0.125 * (leaf.ndim == 1), params)


def _lines(*shape: int) -> Any:
    return jax.random.normal(jax.random.key(1), (*shape, 1), jnp.float64)


def test_a_reader_starts_with_these_shapes() -> None:
    params = line_reader.init(KEY, 24, (1, 4, 5, 6, 7), 3, 11)
    assert [layer.W.shape for layer in params.convolutions] == [
        (3, 3, 1, 4),
        (3, 3, 4, 5),
        (3, 3, 5, 6),
        (3, 3, 6, 7),
    ]
    for cell in (params.onward, params.reverse):
        assert [leaf.shape for leaf in cell] == [(7, 12), (3, 12), (12,)]
        assert cell.b.tolist() == [0] * 3 + [1] * 3 + [0] * 6
    assert (params.V.shape, params.c.shape) == ((6, 11), (11,))
    lines = jax.ShapeDtypeStruct((2, 24, 13, 1), jnp.float32)
    logits = jax.eval_shape(lambda *given: line_reader.forward(*given)[0], params, lines)
    assert logits.shape == (2, line_reader.steps(13), 11)


def _batch() -> tuple[Any, ...]:
    return (
        _lines(2, 4, 8),
        jnp.asarray([8, 5], jnp.int32),
        jnp.asarray([[1, 1], [3, 0]], jnp.int32),
        jnp.asarray([2, 1], jnp.int32),
    )


def test_the_gradient_of_a_reader_is_that_of_so_many_times_the_loss() -> None:
    both = partial(line_reader.loss_gradients_and_deltas, decay=0.1, pools=POOLS)
    loss, gradients, deltas = both(_reader(), *_batch())
    scaled = both(_reader(), *_batch(), dloss=jnp.asarray(8.0, jnp.float64))
    wanted = loss, *jax.tree.map(lambda leaf: 8 * leaf, (gradients, deltas))
    for mine, other in zip(jax.tree.leaves(scaled), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_a_reader_in_half_precision_gives_loss_and_gradient_in_the_dtype_of_dloss() -> None:
    params, (x, *rest) = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), _reader()), _batch()
    loss, gradients, deltas = line_reader.loss_gradients_and_deltas(
        params, x.astype(jnp.bfloat16), *rest, pools=POOLS, dloss=jnp.float32(8)
    )
    assert {leaf.dtype for leaf in jax.tree.leaves((loss, gradients))} == {jnp.dtype("float32")}
    assert {leaf.dtype for leaf in deltas} == {jnp.dtype("bfloat16")}


def test_every_gradient_and_delta_of_a_reader_is_right_with_decay() -> None:
    settings: dict[str, Any] = {"decay": 0.1, "pools": POOLS}
    report = check_model(
        partial(line_reader.loss_gradients_and_deltas, **settings),
        partial(
            references.models.line_reader_loss,
            loss=references.losses.ctc,
            **settings,
        ),
        _reader(),
        *_batch(),
        tolerance=1e-12,
    )
    assert report
    assert {row.leaf for row in report.rows if row.leaf.startswith("δ")} == {
        f"δ[{number}]" for number in range(4)
    }


@jax.jit
def _passes(params: Any, x: Any, widths: Any, dy: Any) -> Any:
    y, residual = line_reader.forward(params, x, widths, pools=POOLS)
    rest = jnp.zeros((1, y.shape[1] - dy.shape[1], dy.shape[2]))
    gradients, dx, _ = line_reader.backward(residual, jnp.concatenate([dy, rest], 1))
    return y[:, : dy.shape[1]], gradients, dx


def test_padding_changes_nothing() -> None:
    params, line = _reader(), _lines(1, 4, 7)
    widths, dy = jnp.asarray([7], jnp.int32), _lines(1, line_reader.steps(7, POOLS), 4)[..., 0]
    padded = jnp.concatenate([line, jnp.full((1, 4, 4, 1), jnp.nan)], 2)
    *alone, dx = _passes(params, line, widths, dy)
    *beside, padded_dx = _passes(params, padded, widths, dy)
    for one, other in zip(*map(jax.tree.leaves, (alone, beside)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(padded_dx[:, :, :7], dx, rtol=1e-10, atol=1e-14)
    assert not padded_dx[:, :, 7:].any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: line_reader.init(KEY, 4, (1, 2), 2, 3),
            "line_reader.init: pools: expected one for each of 1 convolutions, "
            "got ((2, 2), (2, 2), (2, 1), (3, 1))",
        ),
        (
            lambda: line_reader.init(KEY, 1, (1, 2), 2, 3, pools=((2, 2),)),
            "line_reader.init: rows: expected at least 2, got 1",
        ),
        (
            lambda: line_reader.init(KEY, 4, (1, 2), 0, 3, pools=((2, 2),)),
            "line_reader.init: hidden: expected at least 1, got 0",
        ),
        (
            lambda: line_reader.forward(_reader(), _lines(2, 4, 8)),
            "line_reader: pools: expected one for each of 2 convolutions, "
            "got ((2, 2), (2, 2), (2, 1), (3, 1))",
        ),
        (
            lambda: line_reader.forward(
                _reader(), _lines(2, 4, 8), jnp.asarray([1, 9], jnp.int32), pools=POOLS
            ),
            "line_reader: widths: expected 0 … 8, got 9",
        ),
        (
            lambda: line_reader.forward(
                _reader(), _lines(2, 4, 8), jnp.asarray([1], jnp.int32), pools=POOLS
            ),
            "line_reader: widths: expected shape (2,) for x of shape (2, 4, 8, 1), got (1,)",
        ),
    ],
)
@pytest.mark.usefixtures("without_annotations")
def test_what_is_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        call()
    assert str(refused.value) == message
