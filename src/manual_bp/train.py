"""Pure training steps: gradients by hand, then an optax update.

Update   The simplest optimiser is gradient descent, W ← W − η ∇_W L; any other is an
         `optax.GradientTransformation`. Nothing here differentiates: the gradients come from the
         function that is handed in.
Batches  A batch size of 1 is single-sample descent, of the number of samples full-batch descent,
         and between them mini-batch descent. An epoch visits every sample once, in the order of a
         permutation; when the batch size does not divide the number of samples, the last batch is
         the smaller rest.
Parts    A batch whose activations do not fit in memory is cut into k equal parts p of m/k samples.
         A mean over the m samples, E = 1/m Σᵢ ℓᵢ, is that of the parts' means, and so
  (1) E = 1/k Σₚ Eₚ,   ∂E/∂θ = 1/k Σₚ ∂Eₚ/∂θ
         A penalty that does not depend on the samples is in every Eₚ, and in their mean once.
Layers   The gradients of a deep stack are as large as its parameters. An optimiser that treats each
         layer by itself, as `by_layer` makes it, can be applied on the way down (`update_by`, a
         stack's `backward_with_updates`, `make_fused_step`), so that they are never all there.
Speed    An epoch is one dispatch: `lax.scan` over the batches, buffers of the state donated.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from manual_bp import op, precision, setting
from manual_bp.adapters import as_differentiable
from manual_bp.models.layers import Update, trained

LossAndGradients = Callable[..., tuple[Any, ...]]


class State(NamedTuple):
    """What training carries from step to step.

    `model` is what the model carries besides its parameters, as the running statistics of its
    normalisations; () for none. `scale` is its loss scale, as from `precision.loss_scale`; () for
    none. `step` counts batches, those whose update was left out as well.
    """

    params: Any
    optimizer: Any
    step: Int[Array, ""]
    model: Any = ()
    scale: Any = ()


def init(
    params: Any, optimizer: optax.GradientTransformation, model: Any = (), scale: Any = ()
) -> State:
    """Return the state before the first step, in buffers of its own, so that it can be donated."""
    state = State(params, optimizer.init(params), jnp.zeros((), jnp.int32), model, scale)
    return jax.tree.map(jnp.array, state)


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

    Where the state has a loss scale, `loss_and_gradients` is handed it as `dloss`, and a step whose
    gradients are not finite changes nothing but the scale and the count.
    """
    update = optax.with_extra_args_support(optimizer).update

    def run(params: Any, model: Any, scale: Any, *batch: Any) -> tuple[Any, Any, Any]:
        given = (params, model, *batch) if stateful else (params, *batch)
        settings = {"dloss": scale.value} if scale else {}
        loss, gradients, *new = loss_and_gradients(*given, **settings)
        if scale:
            gradients = precision.unscaled(gradients, scale)
        return loss, gradients, new[0] if stateful else model

    differentiable_loss = as_differentiable(lambda *arguments: run(*arguments)[:2])

    def step(state: State, batch: tuple[Any, ...]) -> tuple[State, Float[Array, ""]]:
        scale = state.scale
        loss, gradients, model = run(state.params, state.model, scale, *batch)
        params, optimizer_state = _updated(
            update,
            gradients,
            state.optimizer,
            state.params,
            value=loss,
            grad=gradients,
            value_fn=lambda params: differentiable_loss(
                _like(state.params, params), state.model, scale, *batch
            ),
        )
        new = params, optimizer_state, model
        if scale:
            finite, old = (
                precision.all_finite(gradients),
                (state.params, state.optimizer, state.model),
            )
            new = jax.tree.map(lambda after, before: jnp.where(finite, after, before), new, old)
            scale = precision.renewed(scale, finite)
        params, optimizer_state, model = new
        return State(params, optimizer_state, state.step + 1, model, scale), loss

    return step


def _updated(update: Any, gradients: Any, state: Any, params: Any, **more: Any) -> tuple[Any, Any]:
    """Return the parameters and the state after an update."""
    # optax mixes integer counts with floats, which strict promotion forbids.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        updates, new = update(gradients, state, params, **more)
        return optax.apply_updates(params, updates), _like(state, new)


def update_by(optimizer: optax.GradientTransformation) -> Update:
    """Return the update `(gradients, state, params) -> (params, state)` by an optimiser.

    It is what a stack's `backward_with_updates` calls for each layer; the parameters beside the
    stack are updated by it as well, or by another.
    """
    return partial(_updated, optimizer.update)


def by_layer(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """Return an optimiser of stacks of layers that treats each layer by itself.

    Each array of the parameters, and of its state, has the layers on its first axis. Where entries
    do not depend on each other, as in SGD or Adam, it does what `optimizer` does to the whole; a
    norm, as clipped by, is that of a layer.
    """

    def init(params: Any) -> Any:
        return jax.vmap(optimizer.init)(trained(params))

    def update(gradients: Any, state: Any, params: Any = None) -> Any:
        return jax.vmap(optimizer.update)(gradients, state, params)

    return optax.GradientTransformation(init, update)


def make_fused_step(
    loss_and_updates: Callable[..., tuple[Any, Any, Any]],
) -> Callable[[State, tuple[Any, ...]], tuple[State, Float[Array, ""]]]:
    """Return the step `(state, batch) -> (state, loss)` of a loss that updates on its way down.

    Args:
      loss_and_updates: `(params, optimizer_state, *batch) -> (loss, params, optimizer_state)`, the
        last two new, as of a stack's `backward_with_updates`.

    Jitted with `donate_argnums=0`, it writes the parameters where they lie. A loss scale is not
    taken: whether all gradients are finite is known only behind the last update.

    Raises:
      ValueError: when called, the state has a loss scale, or a model's.
    """

    def step(state: State, batch: tuple[Any, ...]) -> tuple[State, Float[Array, ""]]:
        for argument, came in (("scale", state.scale), ("model", state.model)):
            if jax.tree.leaves(came):
                raise ValueError(op.complaint("make_fused_step", argument, "none, ()", came))
        loss, params, optimizer = loss_and_updates(state.params, state.optimizer, *batch)
        return State(params, optimizer, state.step + 1), loss

    return step


def _like(before: Any, now: Any) -> Any:
    """Return `now` in the dtypes of `before`; with float64 enabled, optax widens some of them."""
    return jax.tree.map(lambda old, new: jnp.asarray(new).astype(old.dtype), before, now)


def accumulated(
    loss_and_gradients: LossAndGradients, *, parts: int, stateful: bool = False
) -> LossAndGradients:
    """Return `loss_and_gradients` in the memory of a part of the batch, one part after another.

    Args:
      loss_and_gradients: as of `make_step`; the loss is a mean over the samples of the batch.
      parts: k, the number of parts, at least 1.
      stateful: as of `make_step`. What the model carries goes from part to part: running statistics
        are renewed k times, and a normalisation by the batch is one by the part.

    Returns:
      A function of the same arguments, the arrays of the batch with the samples on the first axis.
      The loss and the gradients are the means of those of the parts, summed in float32 or wider. A
      penalty λ/2 Σ W² counts once; one that is divided by the number of samples is divided by those
      of a part, and is to be given λ/k. A loss that does not count all samples averages over those
      that count in each part.

    Raises:
      ValueError: `parts` is below 1; when called, it does not divide the number of samples.
    """
    parts = setting.expect_whole("accumulated", "parts", parts, 1)

    def whole(params: Any, *given: Any, **settings: Any) -> tuple[Any, ...]:
        carried, batch = (given[:1], given[1:]) if stateful else ((), given)
        lengths = {array.shape[0] for array in batch}
        if len(lengths) != 1 or min(lengths) % parts or not min(lengths):
            expected = f"arrays of one length that {parts} parts divide"
            came = f"lengths {[array.shape[0] for array in batch]}"
            raise ValueError(op.complaint("accumulated", "batch", expected, came))

        def run(carried: Any, part: Any) -> tuple[tuple[Any, Any], Any]:
            loss, gradients, *carried = loss_and_gradients(params, *carried, *part, **settings)
            return (loss, gradients), tuple(carried)

        def visit(carry: tuple[Any, Any], part: Any) -> tuple[tuple[Any, Any], None]:
            total, carried = carry
            came, carried = run(carried, part)
            return (jax.tree.map(lambda a, b: a + b.astype(a.dtype), total, came), carried), None

        cut = jax.tree.map(
            lambda array: array.reshape(parts, len(array) // parts, *array.shape[1:]), batch
        )
        like, _ = jax.eval_shape(run, carried, jax.tree.map(lambda array: array[0], cut))
        zero = jax.tree.map(lambda one: jnp.zeros(one.shape, op.wide_dtype(one.dtype)), like)
        (total, carried), _ = jax.lax.scan(visit, (zero, carried), cut)
        loss, gradients = jax.tree.map(  # (1)
            lambda a, one: (a / parts).astype(one.dtype), total, like
        )
        return loss, gradients, *carried

    return whole


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
    batch_size = setting.expect_whole("make_epoch", "batch_size", batch_size, 1)
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
