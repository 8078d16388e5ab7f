"""Pure training steps: gradients by hand, then an optax update.

Update   The simplest optimiser is gradient descent, W ← W − η ∇_W L; any other is an
         `optax.GradientTransformation`. Nothing here differentiates: the gradients come from the
         function that is handed in.
Batches  A batch size of 1 is single-sample descent, of the number of samples full-batch descent,
         and between them mini-batch descent. An epoch visits every sample once, in the order of a
         permutation; when the batch size does not divide the number of samples, the last batch is
         the smaller rest.
Speed    An epoch is one dispatch: `lax.scan` over the batches, buffers of the state donated.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from manual_bp import op
from manual_bp.adapters import as_differentiable

LossAndGradients = Callable[..., tuple[Any, ...]]


class State(NamedTuple):
    """What training carries from step to step.

    `model` is what the model carries besides its parameters, as the running statistics of its
    normalisations; () for none.
    """

    params: Any
    optimizer: Any
    step: Int[Array, ""]
    model: Any = ()


def init(params: Any, optimizer: optax.GradientTransformation, model: Any = ()) -> State:
    """Return the state before the first step, in buffers of its own, so that it can be donated."""
    params, started, model = jax.tree.map(jnp.array, (params, optimizer.init(params), model))
    return State(params, started, jnp.zeros((), jnp.int32), model)


def make_step(
    loss_and_gradients: LossAndGradients,
    optimizer: optax.GradientTransformation,
    *,
    stateful: bool = False,
) -> Callable[[State, tuple[Any, ...]], tuple[State, Float[Array, ""]]]:
    """Return the step `(state, batch) -> (state, loss)`; pure, to be jitted by the caller.

    Args:
      loss_and_gradients: `(params, *batch) -> (loss, gradients)`.
      optimizer: any of optax. Those that search along a line (L-BFGS) are given the loss, which
        answers `jax.value_and_grad` with the same hand-written gradients.
      stateful: whether the model carries something besides its parameters: then
        `loss_and_gradients` is `(params, model, *batch) -> (loss, gradients, new_model)`.
    """
    update = optax.with_extra_args_support(optimizer).update

    def run(params: Any, model: Any, *batch: Any) -> tuple[Any, Any, Any]:
        if stateful:
            return loss_and_gradients(params, model, *batch)
        return *loss_and_gradients(params, *batch), model

    differentiable_loss = as_differentiable(lambda *arguments: run(*arguments)[:2])

    def step(state: State, batch: tuple[Any, ...]) -> tuple[State, Float[Array, ""]]:
        loss, gradients, model = run(state.params, state.model, *batch)
        # optax mixes integer counts with floats, which strict promotion forbids.
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            updates, optimizer_state = update(
                gradients,
                state.optimizer,
                state.params,
                value=loss,
                grad=gradients,
                value_fn=lambda params: differentiable_loss(
                    _like(state.params, params), state.model, *batch
                ),
            )
            params = optax.apply_updates(state.params, updates)
        optimizer_state = _like(state.optimizer, optimizer_state)
        return State(params, optimizer_state, state.step + 1, model), loss

    return step


def _like(before: Any, now: Any) -> Any:
    """Return `now` in the dtypes of `before`; with float64 enabled, optax widens some of them."""
    return jax.tree.map(lambda old, new: jnp.asarray(new).astype(old.dtype), before, now)


def jit_step(
    loss_and_gradients: LossAndGradients,
    optimizer: optax.GradientTransformation,
    *,
    stateful: bool = False,
) -> Callable[[State, tuple[Any, ...]], tuple[State, Float[Array, ""]]]:
    """Return `make_step`'s step compiled; it donates its state, which cannot be used again."""
    return jax.jit(make_step(loss_and_gradients, optimizer, stateful=stateful), donate_argnums=0)


def make_epoch(
    loss_and_gradients: LossAndGradients,
    optimizer: optax.GradientTransformation,
    *,
    batch_size: int,
    stateful: bool = False,
) -> Callable[[State, tuple[Any, ...], Key[Array, ""]], tuple[State, Float[Array, " batches"]]]:
    """Return the jitted epoch `(state, data, key) -> (state, losses)`; the state is donated.

    Args:
      loss_and_gradients: `(params, *batch) -> (loss, gradients)`.
      optimizer: any of optax.
      batch_size: samples in a batch, at least 1; more than there are means all.
      stateful: as of `make_step`.

    Returns:
      The epoch. `data` is a tuple of arrays with the samples on the first axis, visited in an
      order drawn from `key`; `losses` holds the loss of every batch before its update.
    """
    if not isinstance(batch_size, int) or batch_size < 1:
        expected = "a whole number of at least 1"
        raise ValueError(op.complaint("make_epoch", "batch_size", expected, batch_size))
    step = make_step(loss_and_gradients, optimizer, stateful=stateful)

    def epoch(
        state: State, data: tuple[Any, ...], key: Key[Array, ""]
    ) -> tuple[State, Float[Array, " batches"]]:
        samples = data[0].shape[0]
        lengths = [array.shape[0] for array in data]
        if samples < 1 or set(lengths) != {samples}:
            expected = "arrays of one length, at least 1"
            raise ValueError(op.complaint("epoch", "data", expected, f"lengths {lengths}"))
        size = min(batch_size, samples)
        batches, rest = divmod(samples, size)
        order = jax.random.permutation(key, samples)
        whole, left = order[: batches * size].reshape(batches, size), order[batches * size :]

        def visit(state: State, chosen: Int[Array, " size"]) -> tuple[State, Float[Array, ""]]:
            return step(state, tuple(array[chosen] for array in data))

        state, losses = jax.lax.scan(visit, state, whole)
        if rest:
            state, loss = visit(state, left)
            losses = jnp.concatenate([losses, loss[None]])
        return state, losses

    return jax.jit(epoch, donate_argnums=0)
