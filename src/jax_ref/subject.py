"""What is checked: a function, its hand-written way back, and the reference, if there is one.

A pair `(forward, backward)`, an op, and a `jax.custom_vjp` or `jax.custom_jvp` function are brought
to one form: `open` evaluates the function and returns the way back, a function of the cotangents.
"""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_ref import naming, own_rules
from jax_ref.arguments import Arguments
from jax_ref.calling import (
    as_arrays,
    calling,
    returning_arrays,
    returning_numbers,
    shown,
)
from jax_ref.compiling import UNTRACEABLE, faithful, quick
from jax_ref.errors import CheckError
from jax_ref.oracles.autodiff import is_differentiable
from jax_ref.settings import refuse_shared

Leaves = Sequence[Any]
Way = Callable[[Any], Any]  # the way back: from the cotangents of the outputs


def inexact(y: Any) -> list[Any]:
    """Return the leaves of y that have a cotangent."""
    return [leaf for leaf in jax.tree.leaves(y) if is_differentiable(leaf)]


def is_float0(leaf: Any) -> bool:
    """Return whether a leaf is the cotangent of an integer, which holds nothing."""
    return getattr(leaf, "dtype", None) == jax.dtypes.float0


def with_float0(y: Any, dy: Leaves) -> Any:
    """Return cotangents like y: `dy` for floating leaves, float0 zeros for all others."""
    leaves, tree = jax.tree_util.tree_flatten(y)
    given = iter(dy)
    return jax.tree.unflatten(
        tree,
        [
            next(given) if is_differentiable(leaf) else np.zeros(leaf.shape, jax.dtypes.float0)
            for leaf in leaves
        ],
    )


class Subject:
    """A function under check at one point.

    Attributes:
      place: the public function that complains.
      role: what it calls the reference.
      arguments: the point.
      reference: `(*args) -> y`, differentiated by JAX; None where there is none.
      undecorated: what JAX may differentiate to learn how large rounding errors are, or None.
      pair: whether the way back returns one cotangent for each argument, as a backward does, or
        one for each differentiated leaf, its structure checked by JAX.
      eager: whether the function cannot be traced, and is run as it stands.
    """

    pair: bool
    role = "primal"
    eager = False

    def __init__(
        self,
        place: str,
        arguments: Arguments,
        reference: Callable[..., Any] | None,
        undecorated: Callable[..., Any] | None,
    ) -> None:
        """Keep what every subject has."""
        self.place, self.arguments = place, arguments
        self.reference, self.undecorated = reference, undecorated

    def open(self, chosen: Leaves, rest: Leaves) -> tuple[Any, Way]:
        """Return y and the way back, `back(dy)`, which returns what the rule does."""
        raise NotImplementedError

    def value(self, *args: Any) -> Any:
        """Return y, by hand."""
        raise NotImplementedError

    def rule(self, chosen: Leaves, rest: Leaves) -> Any:
        """Return y; JAX differentiates it by the hand-written way back."""
        raise NotImplementedError

    def intermediates(self, chosen: Leaves, rest: Leaves) -> Any:
        """Return the residual, what the forward keeps; None if that is not known."""
        raise NotImplementedError

    def pulled_by_jax(
        self, function: Callable[..., Any], chosen: Leaves, dy: Leaves
    ) -> tuple[Any, list[Any]]:
        """Return y of a function of the differentiated leaves, and its cotangents by JAX.

        Raises:
          CheckError: JAX cannot go back through it.
        """
        y, back = calling(self.place, self.role, jax.vjp)(function, *chosen)
        return y, list(calling(self.place, self.role, back)(with_float0(y, dy)))

    def compile(self, function: Callable[..., Any], *, low: bool = False) -> Callable[..., Any]:
        """Return a function of this subject compiled, or as it stands where it must be eager."""
        if self.eager:
            return function
        return faithful(function) if low else quick(function)

    def cotangents(self, raw: Any) -> dict[str, Any]:
        """Return what the way back returned, by leaf; None and float0 leaves are left out."""
        if not self.pair:
            return dict(zip(self.arguments.paths, raw, strict=True))
        named = naming.of_args(raw, self.arguments.names)
        return {leaf: value for leaf, value in named.items() if not is_float0(value)}

    def aligned(self, raw: Any, chosen: Leaves) -> list[Any]:
        """Return one cotangent for each differentiated leaf; None counts as zero."""
        named = self.cotangents(raw)
        return [
            named[path] if path in named else jnp.zeros_like(leaf)
            for path, leaf in zip(self.arguments.paths, chosen, strict=True)
        ]

    def shapes(self) -> tuple[Any, Any]:
        """Return the shapes of y and of what the way back returns; find out whether it is eager."""

        def both(chosen: Leaves, rest: Leaves) -> tuple[Any, Any]:
            y, back = self.open(chosen, rest)
            raw = back(with_float0(y, [jnp.ones_like(leaf) for leaf in inexact(y)]))
            return y, jax.tree.map(lambda leaf: None if is_float0(leaf) else leaf, raw)

        point = self.arguments.chosen, self.arguments.rest
        try:
            return jax.eval_shape(both, *point)
        except UNTRACEABLE:
            self.eager = True
            return both(*point)


class Pair(Subject):
    """A forward and a backward."""

    pair = True

    def __init__(
        self,
        place: str,
        roles: tuple[str, str, str],
        functions: tuple[Any, Any, Any],
        args: Sequence[Any],
        *,
        wrt: Any,
        static: Mapping[str, Any],
    ) -> None:
        """Take a primal, a forward and a backward; `roles` are their names in a complaint.

        Raises:
          CheckError: one of them is no function, or does not take what it should.
        """
        for role, function in zip(roles, functions, strict=True):
            if not callable(function):
                raise CheckError(place, role, "a function", type(function).__name__)
        for role, function in zip(roles[:2], functions[:2], strict=True):
            refuse_shared(place, role, function, len(args))
        primal, forward, backward = functions
        _expect_two(place, roles[2], backward)
        arguments = Arguments(place, naming.of_arguments(forward, len(args)), args, wrt)
        reference = returning_arrays(place, roles[0], primal, static)
        super().__init__(place, arguments, reference, reference)
        self.role = roles[0]
        self._role, self._static = roles[1], static
        self._forward = calling(place, roles[1], forward)
        self._backward = returning_numbers(place, roles[2], backward)

    def _run(self, *args: Any) -> tuple[Any, Any]:
        pair = self._forward(*args, **self._static)
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise CheckError(self.place, self._role, "a pair (y, residual)", shown(pair))
        return as_arrays(self.place, f"{self._role}: y", pair[0]), pair[1]

    def open(self, chosen: Leaves, rest: Leaves) -> tuple[Any, Way]:
        """Return y and the way back."""
        y, residual = self._run(*self.arguments.build(chosen, rest))
        return y, functools.partial(self._backward, residual)

    def value(self, *args: Any) -> Any:
        """Return y, by hand."""
        return self._run(*args)[0]

    def intermediates(self, chosen: Leaves, rest: Leaves) -> Any:
        """Return the residual, where it is known."""
        return self._run(*self.arguments.build(chosen, rest))[1]

    def rule(self, chosen: Leaves, rest: Leaves) -> Any:
        """Return y, differentiated by the way back."""

        @jax.custom_vjp
        def rule(chosen: Leaves, rest: Leaves) -> Any:
            return self._run(*self.arguments.build(chosen, rest))[0]

        def keep(chosen: Leaves, rest: Leaves) -> tuple[Any, Any]:
            y, residual = self._run(*self.arguments.build(chosen, rest))
            return y, (residual, chosen)

        def pull_back(kept: tuple[Any, Leaves], dy: Any) -> tuple[Any, None]:
            residual, chosen = kept
            return tuple(self.aligned(self._backward(residual, dy), chosen)), None

        rule.defvjp(keep, pull_back)
        return rule(tuple(chosen), tuple(rest))


class Rule(Subject):
    """A `jax.custom_vjp` or `jax.custom_jvp` function."""

    pair = False

    def __init__(
        self,
        place: str,
        rule: Any,
        primal: Any,
        args: Sequence[Any],
        *,
        wrt: Any,
        static: Mapping[str, Any],
    ) -> None:
        """Take the function, and the same one without its rule or None.

        Raises:
          CheckError: one of them is no function, or the primal calls the rule.
        """
        for role, function in (("rule", rule), ("primal", primal)):
            if not callable(function) and not (role == "primal" and function is None):
                raise CheckError(place, role, "a function", type(function).__name__)
            if function is not None:
                refuse_shared(place, role, function, len(args), also=("primal",))
        own_rules.expect_defined(place, rule)
        fun = getattr(rule, "fun", rule)
        settings = getattr(rule, "nondiff_argnums", ())
        known = (naming.of_arguments(f, len(args)) for f in (fun, getattr(rule, "fwd", fun)))
        names = min(known, key=lambda names: sum(name.startswith("args[") for name in names))
        arguments = Arguments(place, names, args, wrt, settings)
        if not isinstance(rule, jax.custom_vjp | jax.custom_jvp):
            own_rules.expect_one(place, rule, arguments)
        reference = None
        if primal is not None:
            reference = returning_arrays(place, "primal", primal, static)
            own_rules.refuse_itself(place, rule, fun, reference, arguments)
        own = None if fun is rule else returning_arrays(place, "rule", fun, static)
        # What was given without the rule is the measure; the rule's own body may share its mistake.
        super().__init__(place, arguments, reference, reference or own)
        self._rule, self._static = rule, static
        self.value = returning_arrays(place, "rule", rule, static)  # type: ignore[method-assign]

    def rule(self, chosen: Leaves, rest: Leaves) -> Any:
        """Return y, differentiated by the way back."""
        return self.value(*self.arguments.build(chosen, rest))

    def open(self, chosen: Leaves, rest: Leaves) -> tuple[Any, Way]:
        """Return y and the way back."""
        vjp = calling(self.place, "rule", jax.vjp)
        y, back = vjp(lambda *chosen: self.rule(chosen, rest), *chosen)
        return y, calling(self.place, "rule", back)

    def intermediates(self, chosen: Leaves, rest: Leaves) -> Any:
        """Return the residual, where it is known."""
        # With symbolic zeros the forward takes other arguments.
        if not hasattr(self._rule, "fwd") or self._rule.symbolic_zeros:
            return None
        return self._rule.fwd(*self.arguments.build(chosen, rest), **self._static)[1]


def _expect_two(place: str, role: str, backward: Callable[..., Any]) -> None:
    try:
        inspect.signature(backward).bind(None, None)
    except TypeError:
        count = len(inspect.signature(backward).parameters)
        expected = "a function of (residual, dy)"
        raise CheckError(place, role, expected, f"one of {count} arguments") from None
    except ValueError:
        return  # a built-in function without a signature
