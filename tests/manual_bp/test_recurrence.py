"""Recurrent layers: any shape, lengths, kinks, extremes, bad input."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawing import cases_of, check_drawn, drawn
from hypothesis import given
from hypothesis import strategies as st

import manual_bp
from jax_ref import cases
from manual_bp.models.chain import Stage

# gates, states
CELLS = {"rnn": (1, 1), "lstm": (4, 2), "gru": (3, 1), "layer_norm_lstm": (4, 2)}
COMPOSITIONS = ("bidirectional", "stacked")
RNN = Stage(manual_bp.rnn)
every_cell = pytest.mark.parametrize("name", CELLS)


def random(*shape: int, seed: int = 0) -> Any:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))


def layer(name: str, batch: int = 2, t: int = 3, n: int = 4, h: int = 5) -> list[Any]:
    """Return x, the initial states, W, U and b; with the scales and the bias of the cell."""
    gates, states = CELLS[name]
    width = (gates * h,)
    biases = [width, width, width, (h,), (h,)] if name == "layer_norm_lstm" else [width]
    shapes = [(batch, t, n), *[(batch, h)] * states, (n, *width), (h, *width), *biases]
    return [random(*shape, seed=seed) / 2 for seed, shape in enumerate(shapes)]


def pull(name: str, *args: Any, **settings: Any) -> tuple[Any, Any, Any]:
    """Return the outputs, cotangents drawn for them, and the cotangents of all arguments."""
    op = getattr(manual_bp, name)
    y, residual = op.forward(*args, **settings)
    leaves, tree = jax.tree.flatten(y)
    drawn = [random(*one.shape, seed=9 + k).astype(one.dtype) for k, one in enumerate(leaves)]
    dy = jax.tree.unflatten(tree, drawn)
    return y, dy, op.backward(residual, dy)


def complaint(kind: type[Exception], function: Any, *args: Any, **keywords: Any) -> str:
    with pytest.raises(kind) as caught:
        function(*args, **keywords)
    return str(caught.value)


WITH_LENGTHS = [case for case in cases_of(*CELLS, *COMPOSITIONS) if "lengths" in case.variant]


@pytest.mark.parametrize("case", WITH_LENGTHS, ids=lambda case: case.name)
@given(data=st.data())
def test_any_shape_and_dtype(case: cases.Case, data: st.DataObject) -> None:
    check_drawn(case, *data.draw(drawn(case)))


@every_cell
def test_a_short_sample_is_as_if_cut_and_alone(name: str) -> None:
    x, *rest = layer(name)
    states = CELLS[name][1]
    lengths = jnp.asarray([3, 2])
    op = getattr(manual_bp, name)
    inputs = [x, *rest]
    y, residual = op.forward(*inputs, lengths=lengths)
    dy = tuple(random(*one.shape, seed=9 + k) for k, one in enumerate(y))
    dx, *dstates = op.backward(residual, dy)[: 1 + states]
    cut = [x[1:, :2], *(state[1:] for state in rest[:states]), *rest[states:]]
    y_cut, residual_cut = op.forward(*cut)
    dy_cut = (dy[0][1:, :2], *(one[1:] for one in dy[1:]))
    dx_cut, *dstates_cut = op.backward(residual_cut, dy_cut)[: 1 + states]
    assert not y[0][1, 2:].any()
    assert not dx[1, 2:].any()
    pairs = ((y[0][1:, :2], y_cut[0]), (dx[1:, :2], dx_cut))
    for came, wanted in (*pairs, *zip(dstates, dstates_cut, strict=True)):
        np.testing.assert_allclose(came[-1:], wanted, rtol=1e-12, atol=1e-15)


@every_cell
@pytest.mark.parametrize("padding", [1e4, np.nan])
def test_what_lies_beyond_the_length_counts_for_nothing(name: str, padding: float) -> None:
    x, *rest = layer(name)
    lengths = jnp.asarray([3, 1])
    op = getattr(manual_bp, name)
    spoilt = x.at[1, 1:].set(padding)
    (y, residual), (other, of_other) = (
        op.forward(one, *rest, lengths=lengths) for one in (x, spoilt)
    )
    dys, *dfinals = (random(*one.shape) for one in y)
    gradients = op.backward(residual, (dys, *dfinals))
    of_spoilt = op.backward(of_other, (dys.at[1, 1:].set(padding), *dfinals))
    for came, wanted in zip(
        jax.tree.leaves((other, of_spoilt)), jax.tree.leaves((y, gradients)), strict=True
    ):
        np.testing.assert_array_equal(came, wanted)


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
def test_what_is_formed_again_is_not_kept(name: str, without_annotations: None) -> None:
    def kept(**settings: Any) -> int:
        forward = partial(getattr(manual_bp, name).forward, **settings)
        _, residual = jax.eval_shape(forward, *layer(name, batch=2, t=3, h=5))
        return sum(leaf.size for leaf in jax.tree.leaves(residual))

    arguments = CELLS[name][0] + (name == "gru")  # and what r multiplies
    assert kept() - kept(recompute=True) == 2 * 3 * 5 * arguments


@pytest.mark.parametrize(
    ("batch", "t", "steps"),
    [(2, 64, 1024), (2**8, 3, 8), (2**8, 16, 8), (2**8, 28, 7), (2**8, 20, 5), (2**8, 22, 8)],
)
def test_a_segment_has_as_many_steps_as_the_cache_holds_or_divides_them(
    batch: int, t: int, steps: int, without_annotations: None
) -> None:
    _, residual = jax.eval_shape(manual_bp.lstm.forward, *layer("lstm", batch, t, h=2**5))
    assert residual.segment == steps


@pytest.mark.parametrize(
    ("batch", "t", "h", "steps"),
    [
        (2**7, 28, 2**8, 7),
        (2**6, 64, 2**9, 8),
        (2**4, 64, 2**10, 8),
        (2**8, 64, 2**8, 4),
        (2**13, 3, 2**5, 1),
        (2**7 - 1, 28, 2**8, 1),
        (2**5, 256, 2**7, 1),
    ],
)
def test_an_iteration_has_several_steps_where_each_has_much_to_multiply(
    batch: int, t: int, h: int, steps: int, without_annotations: None
) -> None:
    _, residual = jax.eval_shape(manual_bp.rnn.forward, *layer("rnn", batch, t, h=h))
    assert residual.unroll == steps


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_both_loops_have_as_many_steps_in_an_iteration_as_are_said(
    steps: int, without_annotations: None
) -> None:
    args = layer("rnn", t=5)
    y, residual = manual_bp.rnn.forward(*args, unroll=steps)
    forward = jax.make_jaxpr(partial(manual_bp.rnn.forward, unroll=steps))(*args)
    backward = jax.make_jaxpr(manual_bp.rnn.backward)(residual, y)
    for program in (forward, backward):
        assert f"unroll={steps}\n" in str(program)


@pytest.mark.usefixtures("without_annotations")
def test_an_iteration_of_no_step_is_refused() -> None:
    assert complaint(ValueError, manual_bp.rnn.forward, *layer("rnn"), unroll=0) == (
        "rnn: unroll: expected a whole number of at least 1, got 0"
    )


@every_cell
def test_no_step_passes_the_states_through(name: str) -> None:
    args = layer(name, t=0)
    y, dy, gradients = pull(name, *args)
    states = CELLS[name][1]
    for given_, out, d_out, d_in in zip(
        args[1 : 1 + states], y[1:], dy[1:], gradients[1:], strict=False
    ):
        np.testing.assert_array_equal(out, given_)
        np.testing.assert_array_equal(d_in, d_out)
    assert not any(leaf.any() for leaf in jax.tree.leaves(gradients[1 + states :]))


@every_cell
def test_lengths_out_of_range_under_jit_are_cut(name: str) -> None:
    args, op = layer(name), getattr(manual_bp, name)

    @jax.jit
    def run(lengths: Any) -> Any:
        return op.forward(*args, lengths=lengths)[0]

    came, wanted = run(jnp.asarray([-2, 9])), run(jnp.asarray([0, 3]))
    for one, other in zip(came, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


@every_cell
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_extreme_pre_activations_are_finite(name: str, dtype: str) -> None:
    x, *rest = (array.astype(dtype) for array in layer(name))
    y, _, gradients = pull(name, 1e4 * jnp.sign(x), *rest)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves((y, gradients)))


@every_cell
def test_bad_arguments_are_refused(name: str, without_annotations: None) -> None:
    args, op, (gates, states) = layer(name), getattr(manual_bp, name), CELLS[name]
    at = {"x": 0, "h0": 1, "W": 1 + states, "U": 2 + states, "b": 3 + states}
    at["b"] += 2 * (name == "layer_norm_lstm")

    def refused(kind: type[Exception], argument: str, value: Any) -> str:
        bad = list(args)
        bad[at[argument]] = value
        return complaint(kind, op.forward, *bad)

    width = 5 * gates
    assert refused(ValueError, "x", jnp.ones((2, 3))) == (
        f"{name}: x: expected rank 3, got shape (2, 3)"
    )
    assert refused(ValueError, "h0", jnp.ones((3, 5))) == (
        f"{name}: h0: expected shape (2, _) for x of shape (2, 3, 4), got (3, 5)"
    )
    assert refused(ValueError, "W", jnp.ones((5, width))) == (
        f"{name}: W: expected shape (4, {width}) for x of shape (2, 3, 4), got (5, {width})"
    )
    assert refused(ValueError, "U", jnp.ones((4, width))) == (
        f"{name}: U: expected shape (5, {width}) for W of shape (4, {width}), got (4, {width})"
    )
    assert refused(ValueError, "b", jnp.ones(7)) == (
        f"{name}: b: expected shape ({width},) for W of shape (4, {width}), got (7,)"
    )
    assert refused(TypeError, "x", jnp.ones((2, 3, 4), int)) == (
        f"{name}: x: expected a floating dtype, got int64"
    )
    assert refused(TypeError, "b", jnp.ones(width, jnp.float32)) == (
        f"{name}: b: expected float64, the dtype of x, got float32"
    )
    assert complaint(ValueError, op.forward, *args, segment=0) == (
        f"{name}: segment: expected a whole number of at least 1, got 0"
    )


@every_cell
def test_bad_lengths_are_refused(name: str, without_annotations: None) -> None:
    args, op = layer(name), getattr(manual_bp, name)
    for lengths, kind, wanted in (
        (jnp.ones(2), TypeError, "an integer dtype, got float64"),
        (jnp.ones(3, int), ValueError, "shape (2,) for x of shape (2, 3, 4), got (3,)"),
        (jnp.asarray([1, 4]), ValueError, "0 … 3, got 4"),
        (jnp.asarray([-1, 2]), ValueError, "0 … 3, got -1"),
    ):
        came = complaint(kind, op.forward, *args, lengths=lengths)
        assert came == f"{name}: lengths: expected {wanted}"


@every_cell
def test_bad_cotangents_are_refused(name: str, without_annotations: None) -> None:
    op, states = getattr(manual_bp, name), CELLS[name][1]
    (ys, *finals), residual = op.forward(*layer(name))
    names = "dys, dh_T" if states == 1 else "dys, dh_T, dc_T"
    place = f"{name}: dy: expected the tuple ({names}), got"
    assert complaint(ValueError, op.backward, residual, ys) == f"{place} ArrayImpl"
    assert complaint(ValueError, op.backward, residual, (ys,)) == f"{place} 1 of them"
    assert complaint(ValueError, op.backward, residual, (ys, *(one[1:] for one in finals))) == (
        f"{name}: dh_T: expected shape (2, 5) of h_T, got (1, 5)"
    )
    assert complaint(TypeError, op.backward, residual, (ys.astype("float32"), *finals)) == (
        f"{name}: dys: expected float64, the dtype of ys, got float32"
    )


def test_the_slope_of_relu_at_zero_is_a_setting() -> None:
    zero, one = jnp.zeros((1, 1, 1)), jnp.ones((1, 1))
    for slope in (1.0, 0.0, 0.25):
        _, residual = manual_bp.rnn.forward(
            zero, zero[0], one, one, None, activation="relu", slope_at_zero=slope
        )
        dx, dh0, *_ = manual_bp.rnn.backward(residual, (one[None], one))
        assert (float(dx[0, 0, 0]), float(dh0[0, 0])) == (2 * slope, 2 * slope)


def test_a_saturated_state_keeps_the_digits_of_its_slope() -> None:
    one = jnp.ones((1, 1), "float32")
    _, residual = manual_bp.rnn.forward(one[None], 0 * one, 9 * one, one)
    dx, dh0, *_ = manual_bp.rnn.backward(residual, (one[None], 0 * one))
    slope = 1 / np.cosh(9) ** 2
    np.testing.assert_allclose((dx.item(), dh0.item()), (9 * slope, slope), rtol=1e-5)


def test_an_unknown_activation_is_refused(without_annotations: None) -> None:
    assert complaint(ValueError, manual_bp.rnn.forward, *layer("rnn"), activation="sine") == (
        "rnn: activation: expected one of 'tanh', 'relu', got 'sine'"
    )


def agree(came: Any, wanted: Any) -> None:
    for one, other in zip(jax.tree.leaves(came), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)


def test_peepholes_of_zero_and_the_identity_as_projection_change_nothing() -> None:
    args = layer("lstm")
    y, _, gradients = pull("lstm", *args)
    y_too, _, (*gradients_too, dpeephole, dP, _) = pull(
        "lstm", *args, jnp.zeros((3, 5)), jnp.eye(5)
    )
    agree((y_too, gradients_too), (y, list(gradients[:6])))
    assert (dpeephole.shape, dP.shape) == ((3, 5), (5, 5))


def test_the_reset_gate_commutes_with_a_diagonal_product() -> None:
    x, h0, W, U, b = layer("gru")
    U = U.at[:, 10:].set(jnp.diag(U[:, 12]))
    after, before = (pull("gru", x, h0, W, U, b, reset=reset) for reset in ("after", "before"))
    on = jnp.concatenate([jnp.ones((5, 10)), jnp.eye(5)], 1)
    pairs = ((dx, dh0, dW, on * dU, db) for _, _, (dx, dh0, dW, dU, db, *_) in (after, before))
    agree(after[0], before[0])
    agree(*pairs)


def test_a_shift_of_all_features_of_a_product_changes_nothing() -> None:
    x, h0, c0, W, U, *others = layer("layer_norm_lstm")
    shifted = [one + jnp.full_like(one, 0.5) for one in (W, U)]
    y, _, gradients = pull("layer_norm_lstm", x, h0, c0, W, U, *others)
    y_too, _, of_shifted = pull("layer_norm_lstm", x, h0, c0, *shifted, *others)
    agree(y_too, y)
    agree(of_shifted[3:], gradients[3:])
    agree([one.sum(1) for one in gradients[3:5]], [jnp.zeros(4), jnp.zeros(5)])


def two_directions() -> list[Any]:
    """Return x and the parameters of two simple layers."""
    x, *parameters = layer("rnn")
    return [x, tuple(parameters), tuple(-one for one in parameters)]


def test_the_other_direction_is_a_layer_on_time_reversed() -> None:
    x, parameters, reverse = two_directions()
    came = pull("bidirectional", x, parameters, reverse, layer=RNN)
    (ys, finals, reverse_finals), (dys, dfinals, dreverse_finals), (*gradients, _) = came
    (y, h_T), residual = manual_bp.rnn.forward(x, *parameters)
    (y_too, h_T_too), of_reverse = manual_bp.rnn.forward(x[:, ::-1], *reverse)
    agree(ys, jnp.concatenate([y, y_too[:, ::-1]], 2))
    agree((finals, reverse_finals), ((h_T,), (h_T_too,)))
    dx, *dtheta, _ = manual_bp.rnn.backward(residual, (dys[..., :5], *dfinals))
    dx_too, *dtheta_too, _ = manual_bp.rnn.backward(
        of_reverse, (dys[:, ::-1, 5:], *dreverse_finals)
    )
    agree(gradients, [dx + dx_too[:, ::-1], tuple(dtheta), tuple(dtheta_too)])


def test_lengths_out_of_range_under_jit_are_cut_in_both_directions() -> None:
    def run(lengths: Any) -> Any:
        return manual_bp.bidirectional.forward(*two_directions(), lengths, layer=RNN)[0]

    agree(jax.jit(run)(jnp.asarray([-2, 9])), run(jnp.asarray([0, 3])))


def test_a_stack_of_one_is_the_layer_and_of_none_its_input() -> None:
    x, *parameters = layer("gru")
    stack = (Stage(manual_bp.gru, (("reset", "before"),)),)
    (ys, ((h_T,),)), _, (dx, (dparameters,), _) = pull(
        "stacked", x, ((*parameters, None),), layers=stack
    )
    (y, h), _, (dx_too, *dtheta, _) = pull("gru", x, *parameters, reset="before")
    agree((ys, h_T, dx, dparameters), (y, h, dx_too, tuple(dtheta)))
    (ys, finals), (dys, _), (dx, dparameters, _) = pull("stacked", x, (), layers=())
    agree((ys, dx), (x, dys))
    assert (finals, dparameters) == ((), ())


def test_bad_arguments_of_compositions_are_refused(without_annotations: None) -> None:
    both, stack, (x, first, second) = manual_bp.bidirectional, manual_bp.stacked, two_directions()
    assert complaint(ValueError, both.forward, x[0], first, second, layer=RNN) == (
        "bidirectional: x: expected rank 3, got shape (3, 4)"
    )
    lengths = jnp.asarray([1, 4])
    assert complaint(ValueError, both.forward, x, first, second, lengths, layer=RNN) == (
        "bidirectional: lengths: expected 0 … 3, got 4"
    )
    assert complaint(ValueError, both.forward, x, first, second[:1] * 4, layer=RNN) == (
        "rnn: W: expected shape (4, 5) for x of shape (2, 3, 4), got (2, 5)"
    )
    assert complaint(ValueError, stack.forward, x, (first,), layers=(RNN, RNN)) == (
        "stacked: parameters: expected one set for each of 2 layers, got 1"
    )


def test_bad_cotangents_of_compositions_are_refused(without_annotations: None) -> None:
    x, first, second = two_directions()
    both, stack = manual_bp.bidirectional.backward, manual_bp.stacked.backward
    (ys, *finals), residual = manual_bp.bidirectional.forward(x, first, second, layer=RNN)
    assert complaint(ValueError, both, residual, (ys,)) == (
        "bidirectional: dy: expected the tuple (dys, dfinals, dreverse_finals), got 1 of them"
    )
    assert complaint(ValueError, both, residual, (ys[..., :9], *finals)) == (
        "bidirectional: dys: expected shape (2, 3, 10) of ys, got (2, 3, 9)"
    )
    assert complaint(TypeError, both, residual, (ys.astype("float32"), *finals)) == (
        "bidirectional: dys: expected float64, the dtype of ys, got float32"
    )
    (ys, finals), residual = manual_bp.stacked.forward(x, (first,), layers=(RNN,))
    assert complaint(ValueError, stack, residual, ys) == (
        "stacked: dy: expected the tuple (dys, dfinals), got ArrayImpl"
    )
    assert complaint(ValueError, stack, residual, (ys, ())) == (
        "stacked: dfinals: expected one tuple for each of 1 layers, got 0"
    )


def test_bad_weights_of_a_layer_norm_lstm_are_refused(without_annotations: None) -> None:
    forward, args = manual_bp.layer_norm_lstm.forward, layer("layer_norm_lstm")
    for place, argument, shape, why in (
        (2, "c0", (2, 5), "h0 of shape (2, 5)"),
        (5, "scale_x", (20,), "W of shape (4, 20)"),
        (6, "scale_h", (20,), "W of shape (4, 20)"),
        (8, "scale_c", (5,), "h0 of shape (2, 5)"),
        (9, "bias_c", (5,), "h0 of shape (2, 5)"),
    ):
        bad = [*args[:place], jnp.ones(3), *args[place + 1 :]]
        assert complaint(ValueError, forward, *bad) == (
            f"layer_norm_lstm: {argument}: expected shape {shape} for {why}, got (3,)"
        )
    assert complaint(ValueError, forward, *args, epsilon=0.0) == (
        "layer_norm_lstm: epsilon: expected a finite number above 0, got 0.0"
    )


def test_bad_settings_of_a_gru_are_refused(without_annotations: None) -> None:
    forward, args = manual_bp.gru.forward, layer("gru")
    assert complaint(ValueError, forward, *args, reset="never") == (
        "gru: reset: expected one of 'after', 'before', got 'never'"
    )
    assert complaint(ValueError, forward, *args, jnp.ones(5), reset="before") == (
        "gru: b_n: expected None for reset='before', got (5,)"
    )
    assert complaint(ValueError, forward, *args, jnp.ones(4)) == (
        "gru: b_n: expected shape (5,) for h0 of shape (2, 5), got (4,)"
    )


def test_bad_weights_of_an_lstm_are_refused(without_annotations: None) -> None:
    forward, (x, h0, c0, *weights) = manual_bp.lstm.forward, layer("lstm")
    assert complaint(ValueError, forward, x, h0, c0[:, :4], *weights) == (
        "lstm: c0: expected shape (2, 5) for h0 of shape (2, 5), got (2, 4)"
    )
    assert complaint(ValueError, forward, x, h0, c0, *weights, jnp.ones((4, 5))) == (
        "lstm: peephole: expected shape (3, 5) for c0 of shape (2, 5), got (4, 5)"
    )
    assert complaint(ValueError, forward, x, h0, c0, *weights, None, jnp.ones((5, 4))) == (
        "lstm: projection: expected shape (5, 5) for c0 of shape (2, 5), got (5, 4)"
    )
