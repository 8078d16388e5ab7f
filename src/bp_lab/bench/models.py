"""The models as rows: whole training steps, forward, backward and update, buffers donated."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import manual_bp
from bp_lab.bench import products, torch_side
from bp_lab.bench.contest import Contest, Subject
from bp_lab.bench.peers import models as peers
from bp_lab.bench.program import Program
from bp_lab.runs import Config, engine
from bp_lab.runs import models as kinds

IMAGE = (28, 28)
CLASSES = 10


@dataclass(frozen=True)
class Model:
    """A model, how it is trained, and on how many samples at once.

    Attributes:
      config: as of a run.
      batch: samples in a batch, images of `image`.
      image: rows and columns.
      classes: width of the output.
    """

    config: Config
    batch: int
    image: tuple[int, int] = IMAGE
    classes: int = CLASSES

    @property
    def name(self) -> str:
        """The model's name, with the optimiser."""
        return f"{self.config.model} step, {self.config.optimizer}"

    @property
    def size(self) -> str:
        """Its sizes in words."""
        outline = kinds.table[self.config.model].outline
        sizes = outline(self.config, self.features, self.classes, self.image)
        return f"{sizes}, batch {self.batch}"

    @property
    def features(self) -> int:
        """Pixels of an image."""
        return self.image[0] * self.image[1]

    def initial(self) -> tuple[Any, Any]:
        """Return the parameters, and what the model carries besides them."""
        return engine.initial(self.config, self.features, self.classes, self.image)

    def data(self) -> tuple[jax.Array, jax.Array]:
        """Return a batch of random images as the model takes them, and labels."""
        rng = np.random.default_rng(0)
        x = rng.random((self.batch, self.features), np.float32)
        labels = rng.integers(0, self.classes, self.batch, dtype=np.int32)
        return engine.samples(self.config, x, self.image), jnp.asarray(labels)


def _model(model: str, batch: int, optimizer: str = "adam", **settings: Any) -> Model:
    return Model(Config(model=model, optimizer=optimizer, weight_decay=0.0, **settings), batch)


MODELS = (
    _model("mlp", 256, "sgd", hidden=(1024, 1024)),
    _model("mlp", 256, "adam", hidden=(1024, 1024)),
    _model("cnn", 128),
    _model("resnet", 64),
    *(_model(cell, 128, hidden=(256,)) for cell in ("rnn", "lstm", "gru")),
)


def subjects(dtype: str) -> Iterator[Subject]:
    """Yield every model in a dtype."""
    for model in MODELS:
        yield subject(model, dtype)


def subject(model: Model, dtype: str) -> Subject:
    """Return a model in a dtype."""
    chosen = replace(model, config=replace(model.config, dtype=dtype))
    return Subject(chosen.name, "model", chosen.size, dtype, _preparation(chosen))


def _preparation(model: Model) -> Callable[[], Contest]:
    def prepare() -> Contest:
        return Contest(
            by_hand(model),
            {
                form.name: by_autodiff(form, model)
                for form in peers.table[model.config.model]
                if form.installed
            },
            _torch(model),
            products=products.of_step(model.config.model, model.initial()[0], model.data()[0]),
        )

    return prepare


def by_hand(model: Model) -> Program:
    """Return the training step with our gradients."""
    return _step(engine.loss_and_gradients(model.config), model, *model.initial())


def by_autodiff(form: peers.Form, model: Model) -> Program:
    """Return the training step of the same network as a user would write it."""
    loss = jax.value_and_grad(form.loss(model.config), has_aux=True)

    def loss_and_gradients(*given: Any) -> tuple[Any, Any, Any]:
        # Most users let JAX broadcast and promote.
        with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
            (value, carried), gradients = loss(*given)
        return value, gradients, carried

    return _step(loss_and_gradients, model, *form.arrange(*model.initial()))


def _step(
    loss_and_gradients: Callable[..., Any], model: Model, params: Any, carried: Any
) -> Program:
    optimizer = engine.optimizer(model.config)
    step = manual_bp.train.make_step(loss_and_gradients, optimizer, stateful=True)
    state = manual_bp.train.init(params, optimizer, carried)
    return Program(step, (state, model.data()), carries=True)


def _torch(model: Model) -> Callable[[], Any] | None:
    """Return what makes PyTorch's step of the same network; None without PyTorch."""
    if not torch_side.available():
        return None

    def prepare() -> torch_side.TorchSide:
        from bp_lab.bench import torch_models

        step, _ = torch_models.training(model.config, *model.initial(), *model.data())
        return torch_side.side(step)

    return prepare
