"""The convolutional and the recurrent network: their start, their gradients, what they refuse."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import manual_bp
from jax_ref import check_model, references
from manual_bp import cnn, recurrent

KEY = jax.random.key(0)
LABELS = jnp.asarray([0, 2, 1], jnp.int32)
CELLS = ("rnn", "lstm", "gru")


def test_a_cnn_starts_with_these_shapes() -> None:
    params = cnn.init(KEY, (9, 6), (1, 4, 5), (7, 3))
    shapes = [(layer.W.shape, layer.b.shape) for layer in params]
    flat = 2 * 1 * 5
    assert shapes == [
        ((3, 3, 1, 4), (4,)),
        ((3, 3, 4, 5), (5,)),
        ((flat, 7), (7,)),
        ((7, 3), (3,)),
    ]
    y, _ = cnn.forward(params, jnp.ones((2, 9, 6, 1), jnp.float32))
    assert y.shape == (2, 3)
    # He: the variance of a weight is 2 over its inputs.
    many = cnn.init(KEY, (4, 4), (1, 64), (512,))[1].W
    assert abs(float(many.std()) - np.sqrt(2 / 256)) < 1e-2


@pytest.mark.parametrize("cell", CELLS)
def test_a_recurrent_network_starts_with_these_shapes(cell: str) -> None:
    gates = {"rnn": 1, "lstm": 4, "gru": 3}[cell]
    params = recurrent.init(KEY, 4, 5, 3, cell=getattr(manual_bp, cell))
    assert [leaf.shape for leaf in params] == [
        (4, 5 * gates),
        (5, 5 * gates),
        (5 * gates,),
        (5, 3),
        (3,),
    ]
    remembered = params.b.tolist() == [0] * 5 + [1] * 5 + [0] * 10
    assert remembered if cell == "lstm" else not params.b.any()


@pytest.mark.parametrize("channels", [(1, 2, 3), (1,)], ids=["two convolutions", "none"])
def test_every_gradient_and_delta_of_a_cnn_is_right_with_decay(channels: tuple[int, ...]) -> None:
    params = cnn.init(KEY, (5, 4), channels, (4, 3), dtype=jnp.float64)
    params = jax.tree.map(lambda leaf: leaf + 0.125 * (leaf.ndim == 1), params)
    x = jax.random.normal(jax.random.key(1), (3, 5, 4, 1), jnp.float64)
    settings = {"decay": 0.1}
    report = check_model(
        partial(cnn.loss_gradients_and_deltas, loss=manual_bp.softmax_cross_entropy, **settings),
        partial(
            references.models.cnn_loss, loss=references.losses.softmax_cross_entropy, **settings
        ),
        params,
        x,
        LABELS,
        tolerance=1e-12,
    )
    assert report
    assert {row.leaf for row in report.rows if row.leaf.startswith("δ")} == {
        f"δ[{number}]" for number in range(len(params))
    }


@pytest.mark.parametrize("cell", CELLS)
def test_every_gradient_and_delta_of_a_recurrent_network_is_right_with_decay(cell: str) -> None:
    params = recurrent.init(KEY, 4, 5, 3, cell=getattr(manual_bp, cell), dtype=jnp.float64)
    x = jax.random.normal(jax.random.key(1), (3, 6, 4), jnp.float64)
    report = check_model(
        partial(
            recurrent.loss_gradients_and_deltas,
            loss=manual_bp.softmax_cross_entropy,
            cell=getattr(manual_bp, cell),
            decay=0.1,
        ),
        partial(
            references.models.recurrent_loss,
            loss=references.losses.softmax_cross_entropy,
            cell=getattr(references.recurrence, cell),
            decay=0.1,
        ),
        params,
        x,
        LABELS,
        tolerance=1e-12,
    )
    assert report


def test_at_a_kink_jax_grad_judges_a_model_alone() -> None:
    # Blank images and biases of 0: every u of the convolution is 0, where relu turns.
    params = cnn.init(KEY, (4, 4), (1, 2), (3,), dtype=jnp.float64)
    x = jnp.zeros((3, 4, 4, 1)).at[:, 0, 0].set(1.0)
    reference = partial(references.models.cnn_loss, loss=references.losses.softmax_cross_entropy)

    def by_hand(params: Any, x: Any, labels: Any, scale: float = 1.0) -> Any:
        loss, gradients, deltas = cnn.loss_gradients_and_deltas(
            params, x, labels, loss=manual_bp.softmax_cross_entropy
        )
        return loss, jax.tree.map(lambda g: scale * g, gradients), deltas

    report = check_model(by_hand, reference, params, x, LABELS, raises=False)
    assert report
    assert any(note.startswith("KINK") for note in report.notes)
    wrong = partial(by_hand, scale=1.001)
    assert check_model(wrong, reference, params, x, LABELS, raises=False).failed


IMAGE = jnp.ones((2, 4, 4, 1), jnp.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: cnn.init(KEY, (4, 3), (1, 2, 2), (3,)),
            "cnn.init: image_shape: expected at least 4 rows and columns, got (4, 3)",
        ),
        (
            lambda: cnn.init(KEY, (4, 4), (1, 2), ()),
            "cnn.init: widths: expected at least one size, each at least 1, got []",
        ),
        (
            lambda: cnn.init(KEY, (4, 4), (1, 0), (3,)),
            "cnn.init: channels: expected at least one size, each at least 1, got [1, 0]",
        ),
        (lambda: cnn.forward((), IMAGE), "cnn: params: expected at least one layer, got none"),
        (
            lambda: recurrent.init(KEY, 4, 5, 0, cell=manual_bp.gru),
            "recurrent.init: classes: expected at least 1, got 0",
        ),
        (
            lambda: recurrent.init(KEY, 4, 5, 3, cell=manual_bp.linear),
            "recurrent.init: cell: expected rnn, lstm or gru of manual_bp, "
            "got manual_bp.dense.linear",
        ),
        (
            lambda: recurrent.forward(
                recurrent.init(KEY, 4, 5, 3, cell=manual_bp.gru), IMAGE, cell=manual_bp.gru
            ),
            "recurrent: x: expected rank 3, got shape (2, 4, 4, 1)",
        ),
    ],
)
@pytest.mark.usefixtures("without_annotations")
def test_what_is_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        call()
    assert str(refused.value) == message
