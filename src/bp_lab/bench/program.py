"""A program that is timed: what it computes, and its compiled form."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from bp_lab.bench import flops


@dataclass(frozen=True)
class Program:
    """A function and what it is called with.

    Attributes:
      function: what is traced and compiled.
      arguments: what it is called with.
      carries: whether the first argument is a state that the function returns first, and that is
        donated: the next call takes the new one.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    carries: bool = False

    def compile(self) -> "Compiled":
        """Return the program traced, lowered and compiled anew."""

        def fresh(*arguments: Any) -> Any:
            # A function of its own: what JAX keeps of one that it has seen would spare the work.
            return self.function(*arguments)

        jitted = jax.jit(fresh, donate_argnums=(0,) if self.carries else ())
        start = time.perf_counter()
        executable = jitted.lower(*self.arguments).compile()
        seconds = time.perf_counter() - start
        arguments = self.arguments
        if self.carries:
            state, *rest = arguments
            arguments = (jax.tree.map(jnp.array, state), *rest)
        return Compiled(executable, arguments, self.carries, seconds)

    def product_flops(self) -> float:
        """Return the floating-point operations in matrix products and convolutions."""
        return flops.of_products(jax.make_jaxpr(self.function)(*self.arguments).jaxpr)


@dataclass
class Compiled:
    """A compiled program, and the arguments of its next call."""

    executable: Any
    arguments: tuple[Any, ...]
    carries: bool
    compile_seconds: float

    def run(self) -> float:
        """Call the program once, wait for what it returns, and return the seconds."""
        start = time.perf_counter()
        results = self.executable(*self.arguments)
        jax.block_until_ready(results)
        seconds = time.perf_counter() - start
        if self.carries:
            self.arguments = (results[0], *self.arguments[1:])
        return seconds

    @property
    def temporary_bytes(self) -> int:
        """Bytes that a call needs beside arguments and results."""
        return int(self.executable.memory_analysis().temp_size_in_bytes)

    @property
    def moved_bytes(self) -> int:
        """Bytes of the arguments that are read and of the results."""
        memory = self.executable.memory_analysis()
        return int(memory.argument_size_in_bytes + memory.output_size_in_bytes)

    @property
    def flops(self) -> float:
        """Floating-point operations as XLA counts them: every kind, of a loop one round."""
        return float((self.executable.cost_analysis() or {}).get("flops", 0.0))
