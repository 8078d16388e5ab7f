"""PyTorch's side of a row, where it is installed: eager, with as many threads as JAX."""

import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from bp_lab.bench import machine
from bp_lab.bench.peers.peer import Peer
from jax_ref.cases.case import Options

if TYPE_CHECKING:
    import torch


@dataclass
class TorchSide:
    """What is run, and how to wait for it."""

    step: Callable[[], Any]
    wait: Callable[[], Any]

    def run(self) -> float:
        """Do it once and return the seconds."""
        start = time.perf_counter()
        self.step()
        self.wait()
        return time.perf_counter() - start


@cache
def available() -> bool:
    """Return whether PyTorch is installed, and runs where JAX does."""
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return jax.default_backend() == "cpu" or torch.cuda.is_available()


@cache
def _device() -> "torch.device":
    """Return where PyTorch runs, its threads set, and the precision of products JAX's default."""
    import torch

    if jax.default_backend() == "cpu":
        torch.set_num_threads(machine.threads())
        return torch.device("cpu")
    torch.set_float32_matmul_precision("high")
    return torch.device("cuda")


def side(step: Callable[[], Any]) -> TorchSide:
    """Return a side that runs the step and waits for the device."""
    import torch

    on_cpu = _device().type == "cpu"
    return TorchSide(step, (lambda: None) if on_cpu else torch.cuda.synchronize)


def tensor(leaf: Any) -> "torch.Tensor":
    """Return an array of JAX's as a tensor of the same dtype, integers as int64."""
    import torch

    array = np.asarray(leaf)
    if array.dtype == bool:
        return torch.tensor(array, device=_device())
    if np.issubdtype(array.dtype, np.integer):
        return torch.tensor(array.astype(np.int64), device=_device())
    named = getattr(torch, str(leaf.dtype))
    # PyTorch reads no bfloat16 of NumPy's; float32 holds every one.
    readable = array if array.dtype in (np.float64, np.float16) else array.astype(np.float32)
    return torch.tensor(readable, device=_device()).to(named)


def peer_of(op_name: str) -> Peer | None:
    """Return PyTorch's form of an op; None where there is none, or no PyTorch."""
    if not available():
        return None
    from bp_lab.bench import torch_layers, torch_peers

    return {**torch_peers.table, **torch_layers.table}.get(op_name)


def of_op(
    op_name: str, args: tuple[Any, ...], dy: Any, options: Options
) -> Callable[[], TorchSide] | None:
    """Return what makes PyTorch's forward and backward of an op over the same numbers."""
    peer = peer_of(op_name)
    if peer is None or not peer.fits(*args, **options):
        return None

    def prepare() -> TorchSide:
        tensors = jax.tree.map(tensor, args)
        arranged = list(jax.tree.map(_own, peer.arrange(*tensors, **options)))
        differentiated = [
            leaf.requires_grad_()
            for place, argument in enumerate(arranged)
            if place not in peer.constants
            for leaf in jax.tree.leaves(argument)
            if leaf.is_floating_point()
        ]
        outputs = peer.function(*arranged, **options)
        upstream = _own_cotangents(peer, outputs, jax.tree.map(tensor, dy), options)

        def step() -> None:
            import torch

            y = jax.tree.leaves(peer.function(*arranged, **options))
            torch.autograd.grad(
                [leaf for leaf in y if leaf.requires_grad], differentiated, upstream
            )

        return side(step)

    return prepare


def _own(leaf: "torch.Tensor") -> "torch.Tensor":
    """Return a tensor in memory of its own, laid out as PyTorch has it."""
    return leaf.detach().contiguous().clone()


def _own_cotangents(peer: Peer, outputs: Any, dy: Any, options: Options) -> list["torch.Tensor"]:
    """Return the cotangents of our outputs as those of PyTorch's that have one."""
    import torch

    given = jax.tree.map(lambda leaf: leaf.detach().requires_grad_(leaf.requires_grad), outputs)
    pairs = zip(jax.tree.leaves(peer.restore(given, **options)), jax.tree.leaves(dy), strict=True)
    restored, upstream = zip(*(pair for pair in pairs if pair[0].requires_grad), strict=True)
    wanted = [leaf for leaf in jax.tree.leaves(given) if leaf.requires_grad]
    return [leaf.contiguous() for leaf in torch.autograd.grad(restored, wanted, upstream)]
