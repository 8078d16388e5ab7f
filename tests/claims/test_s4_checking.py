"""S4.10 to S4.12: gradient checking, and symmetry."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import written_out as wo
from by_hand import arrays, descend, rows
from claim import claim
from jax.flatten_util import ravel_pytree
from jaxprs import products
from written_out import seeds

from manual_bp import init, mlp, relu, sigmoid, squared_error, tanh


def _drawn(seed, widths, samples, dtype="float64"):
    """Return a network and a batch in the dtype."""
    rng = np.random.default_rng(seed)
    batch = wo.normal(rng, samples, widths[0]), wo.normal(rng, samples, widths[-1])
    drawn = rows(wo.draw(rng, *widths)), *arrays(batch)
    return jax.tree.map(lambda leaf: leaf.astype(dtype), drawn)


def loss_and_gradients(params, x, y):
    return mlp.loss_and_gradients(params, x, y, loss=squared_error, activation=tanh)


def loss_alone(params, x, y):
    output, _ = mlp.forward(params, x, activation=tanh)
    return squared_error.forward(output, y)[0]


@claim(
    "S4.10",
    says="Gradient checking, `(J(θ+ε) − J(θ−ε))/(2ε)` for one θ_i at a time, with ε = 1e-3, 1e-4 "
    "“or even smaller”.",
    verdict="FALSE",
    correction="The formula holds, but smaller is not better: the error falls as ε² only down to "
    "about `ε = u^(1/3)` (6e-6 in float64, 5e-3 in float32), and grows as u/ε below.",
)
@pytest.mark.parametrize(("dtype", "unit"), [("float64", 2.0**-52), ("float32", 2.0**-23)])
@seeds
def test_s4_10_the_error_of_gradient_checking_is_v_shaped(seed, dtype, unit):
    params, x, y = _drawn(seed, (3, 5, 2), 7, dtype)
    exact = jax.tree.map(lambda leaf: leaf.astype("float64"), (params, x, y))
    true = np.asarray(ravel_pytree(loss_and_gradients(*exact)[1])[0])
    flat, restore = ravel_pytree(params)

    @jax.jit
    def by_differences(step):
        def slope(unit_vector):
            up, down = (
                loss_alone(restore(flat + sign * step * unit_vector), x, y) for sign in (1, -1)
            )
            return (up - down) / (2 * step)

        return jax.vmap(slope)(jnp.eye(flat.size, dtype=dtype))

    def relative_error(step):
        slopes = np.asarray(by_differences(jnp.asarray(step, dtype)), float)
        return np.linalg.norm(slopes - true) / np.linalg.norm(true)

    best = unit ** (1 / 3)
    steps = 10.0 ** np.arange(-1, np.log10(best) - 3, -0.5)
    errors = np.array([relative_error(step) for step in steps])
    assert best / 5 < steps[errors.argmin()] < best * 5
    assert errors.min() < 20 * unit ** (2 / 3)
    large, small = steps > 5 * best, steps < best / 5
    for arm, power, margin in ((large, 2, 0.1), (small, -1, 0.2)):
        power_found, _ = np.polyfit(np.log10(steps[arm]), np.log10(errors[arm]), 1)
        assert abs(power_found - power) < margin

    # At the steps that the notes name.
    if dtype == "float64":
        assert relative_error(1e-4) < 0.1 * relative_error(1e-3)
        assert relative_error(1e-12) > 1000 * relative_error(1e-4)
    else:
        assert relative_error(1e-4) > 4 * relative_error(1e-3)
        assert relative_error(1e-3) > 2 * relative_error(1e-2)


@claim(
    "S4.11",
    says="Turn gradient checking off once it has passed, as it is slow.",
    verdict="TRUE",
)
def test_s4_11_gradient_checking_costs_two_evaluations_a_parameter():
    ratios, parameters = [], []
    for width in (2, 8, 32):
        params, *batch = _drawn(0, (3, width, width, 2), 5)
        flat, restore = ravel_pytree(params)
        evaluations = 0

        def counted(flat, restore=restore, batch=batch):
            nonlocal evaluations
            evaluations += 1
            return loss_alone(restore(flat), *batch)

        if width == 2:  # the count needs to be taken once; the work follows from it
            step = 2.0**-17
            by_differences = [
                (counted(flat + step * unit) - counted(flat - step * unit)) / (2 * step)
                for unit in jnp.eye(flat.size)
            ]
            by_hand, _ = ravel_pytree(loss_and_gradients(params, *batch)[1])
            assert wo.error(np.array(by_differences), by_hand) < 1e-8
            assert evaluations == 2 * flat.size
        checking = 2 * flat.size * products(loss_alone, params, *batch)
        ratios.append(checking / products(loss_and_gradients, params, *batch))
        parameters.append(flat.size)
    # Forward and backward together cost three forwards at most, and checking 2n of them.
    assert (np.array(ratios) > 0.66 * np.array(parameters)).all()
    assert ratios[-1] > 50 * ratios[0] > 500


@claim(
    "S4.12",
    says="All-zero initialisation keeps hidden units symmetric for ever; random initialisation "
    "breaks the symmetry.",
    verdict="BEHAVIOUR",
)
@pytest.mark.parametrize("f", [sigmoid, relu])
@seeds
def test_s4_12_zeros_keep_hidden_units_alike(seed, f):
    rng = np.random.default_rng(seed)
    x = wo.normal(rng, 11, 3)
    data = arrays((x, np.sin(2 * x[:, :2] * x[:, 1:]) + 0.5))

    def loss_and_gradients(params, x, y):
        return mlp.loss_and_gradients(params, x, y, loss=squared_error, activation=f)

    def spread(params):
        """Return the largest difference between two hidden units' parameters."""
        first, second = params
        units = np.concatenate([first.W, first.b[None], second.W.T])  # a column a hidden unit
        return np.ptp(units, axis=1).max()

    def trained(initialiser):
        start = mlp.init(jax.random.key(seed), (3, 4, 2), initialiser=initialiser, dtype=x.dtype)
        end, losses = descend(loss_and_gradients, start, *data, rate=0.2, steps=500)
        return start, end, losses

    start, end, zero_losses = trained(init.zeros)
    moved = max(
        np.abs(b - a).max() for a, b in zip(*map(jax.tree.leaves, (start, end)), strict=True)
    )
    assert moved > 0.1
    assert spread(start) == 0
    assert spread(end) < 1e-12 * moved

    start, end, random_losses = trained(init.he_normal)
    assert spread(start) > 0.1
    assert spread(end) > 0.1
    assert random_losses[-1] < 0.9 * zero_losses[-1]
