"""A whole training step of an MLP: by hand, by autodiff, and as a user of JAX would write it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import manual_bp
from bp_lab.bench import measure
from bp_lab.runs import Config, engine

WIDTHS = (784, 1024, 1024, 10)
BATCH = 256
MODEL = f"mlp {'-'.join(map(str, WIDTHS))}, batch {BATCH}"
OPTIMIZERS = ("sgd", "adam")


def rows(dtype: str, pairs: int) -> Iterator[dict[str, Any]]:
    """Yield a row for each optimiser and each way to differentiate, ours in relation to it."""
    rate = measure.gemm_rate(dtype)
    for optimizer in OPTIMIZERS:
        config = Config(hidden=WIDTHS[1:-1], optimizer=optimizer, weight_decay=0.0, dtype=dtype)
        ours = engine.loss_and_gradients(config)
        for peer, other in (
            ("autodiff engine", engine.loss_and_gradients(replace(config, engine="autodiff"))),
            ("jax.nn + optax", _by_a_user),
        ):
            compared = measure.compare(_side(ours, config), _side(other, config), pairs)
            yield {
                "name": f"{MODEL}, {optimizer}",
                "kind": "model",
                "optimizer": optimizer,
                "peer": peer,
                "dtype": dtype,
                "time_ratio": compared.time_ratio,
                "time_ratio_quartiles": list(compared.quartiles),
                "memory_ratio": compared.memory_ratio,
                "compile_ratio": compared.compile_ratio,
                "temporary_bytes": compared.temporary_bytes,
                "limit_share": flops() / compared.seconds / rate,
                "seconds": compared.seconds,
                "peer_seconds": compared.other_seconds,
                "gemm_flops_per_second": rate,
            }


def flops() -> int:
    """Return the floating-point operations in the matrix products of one step.

    Each layer has x W and xᵀ δ, and all but the first δ Wᵀ; each is 2 b n m.
    """
    products = [2 if layer == 0 else 3 for layer in range(len(WIDTHS) - 1)]
    sizes = [n * m for n, m in pairwise(WIDTHS)]
    return sum(2 * BATCH * size * count for size, count in zip(sizes, products, strict=True))


def _side(loss_and_gradients: Callable[..., Any], config: Config) -> measure.Side:
    optimizer = engine.optimizer(config)
    params, carried = engine.initial(config, WIDTHS[0], WIDTHS[-1])
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.random((BATCH, WIDTHS[0])).astype(config.dtype))
    labels = jnp.asarray(rng.integers(0, WIDTHS[-1], BATCH, dtype=np.int32))
    step = manual_bp.train.make_step(loss_and_gradients, optimizer, stateful=True)
    return measure.prepare(step, manual_bp.train.init(params, optimizer, carried), (x, labels))


def _by_a_user(params: Any, carried: Any, x: Any, labels: Any) -> tuple[Any, Any, Any]:
    return *jax.value_and_grad(_as_a_user_writes_it)(params, x, labels), carried


def _as_a_user_writes_it(params: Any, x: Any, labels: Any) -> Any:
    # Most users let JAX broadcast and promote.
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        for layer in params[:-1]:
            x = jax.nn.relu(x @ layer.W + layer.b)
        logits = x @ params[-1].W + params[-1].b
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
