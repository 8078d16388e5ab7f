"""Hold a hand-written backward pass against its witnesses, in one call.

Witnesses
  value              the function's output against the reference's
  linearity          bwd(a c₁ + b c₂) = a bwd(c₁) + b bwd(c₂): no step size, exact to rounding
  jax.grad           every cotangent against JAX's of the reference, elementwise and in norm
  finite difference  every cotangent against differences of the function's own forward
  precision          in float32, bfloat16 and float16: the error against the float64 truth at the
                     same point may be twice that of `jax.grad` in the same dtype, and 2 ulp;
                     `jax.grad`'s error is the largest at the point and at seven an ulp beside it
  and, at level "full", dot product, Taylor remainder, complex step, the whole Jacobian, second
  order, and the same rule under jit, vmap, scan and remat

The cotangents pulled back are random and not uniform, short decimals, so that a failure can be
read. Nothing global is changed: float64 is switched on inside, and off again.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jax_ref import compiling, explain, kinks_at, thorough
from jax_ref.errors import CheckError
from jax_ref.examine import WIDE, Examination, Findings, float64_findings
from jax_ref.oracles import finite_difference
from jax_ref.points import stream
from jax_ref.precision import hides_mistakes, precision_findings
from jax_ref.settings import FAIL_ABOVE, Level, Settings
from jax_ref.subject import Pair, Rule, Subject
from jax_ref.verdict import GradientMismatch, Report, Verdict

FEW = 0  # coordinates that are differenced of a large leaf where jax.grad sees every entry


def check_vjp(
    primal: Callable[..., Any],
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    /,
    *args: Any,
    wrt: Sequence[int | str] | int | str | None = None,
    name: str | None = None,
    seed: int = 0,
    level: Level = "fast",
    tolerance: float = FAIL_ABOVE,
    raises: bool = True,
    **static: Any,
) -> Report:
    """Check a hand-written forward and backward against a function that JAX differentiates.

    Args:
      primal: `primal(*args, **static) -> y`, written without the rule; differentiated by JAX.
      forward: `forward(*args, **static) -> (y, residual)`.
      backward: `backward(residual, dy) -> tuple`, one cotangent for each of `args`, of its shape
        and dtype; None, or float0, where it has none, and None for one that is zero.
      *args: arrays and pytrees of arrays; whole numbers and booleans of Python are settings. The
        dtype of the first floating array decides which witnesses speak.
      wrt: positions or names of the arguments whose cotangents are checked; all by default.
      name: for the report; by default the backward's name.
      seed: of the random cotangents and directions, from 0 on.
      level: "fast", or "full" for every witness and transformation.
      tolerance: largest relative error in float64, below 1.
      raises: whether a FAIL raises.
      **static: keywords of `primal` and `forward`. One that is named as a setting of the check must
        be bound beforehand: `functools.partial(forward, seed=3)`.

    Returns:
      The report; truthy when it passed.

    Raises:
      GradientMismatch: a witness contradicts the rule, and `raises`.
      CheckError: something that was handed over cannot be checked, or a setting is not one.

    Examples:
      >>> import jax.numpy as jnp, jax_ref
      >>> report = jax_ref.check_vjp(
      ...     jnp.sin, lambda x: (jnp.sin(x), x), lambda x, dy: (dy * jnp.cos(x),),
      ...     jnp.array([0.5, -1.0, 2.0]))
      >>> print(report.verdict)
      PASS
    """
    with precision_of(args):
        subject = Pair(
            "check_vjp",
            ("primal", "forward", "backward"),
            (primal, forward, backward),
            args,
            wrt=wrt,
            static=static,
        )
    name = _name_of(backward) if name is None else name
    return _check(subject, name, seed, level, tolerance, raises=raises)


def check_op(
    op: Any,
    reference: Callable[..., Any],
    /,
    *args: Any,
    wrt: Sequence[int | str] | int | str | None = None,
    name: str | None = None,
    seed: int = 0,
    level: Level = "fast",
    tolerance: float = FAIL_ABOVE,
    raises: bool = True,
    **static: Any,
) -> Report:
    """Check an op, anything with a `forward` and a `backward`; as `check_vjp`.

    Examples:
      >>> import jax_ref, manual_bp, numpy as np
      >>> x = np.array([[1.0, -2.0, 0.5]])
      >>> print(jax_ref.check_op(manual_bp.softmax, jax_ref.references.dense.softmax, x).verdict)
      PASS
    """
    for half in ("forward", "backward"):
        if not callable(getattr(op, half, None)):
            raise CheckError("check_op", "op", f"an op with a function {half}", type(op).__name__)
    with precision_of(args):
        subject = Pair(
            "check_op",
            ("reference", "op.forward", "op.backward"),
            (reference, op.forward, op.backward),
            args,
            wrt=wrt,
            static=static,
        )
    name = _name_of(op) if name is None else name
    return _check(subject, name, seed, level, tolerance, raises=raises)


def check_rule(
    rule: Callable[..., Any],
    /,
    *args: Any,
    primal: Callable[..., Any] | None = None,
    wrt: Sequence[int | str] | int | str | None = None,
    name: str | None = None,
    seed: int = 0,
    level: Level = "fast",
    tolerance: float = FAIL_ABOVE,
    raises: bool = True,
    **static: Any,
) -> Report:
    """Check a `jax.custom_vjp` or `jax.custom_jvp` function.

    Args:
      rule: the function as it is called, with its rule defined.
      *args: as of `check_vjp`; arguments at `nondiff_argnums` may be anything.
      primal: the same function without the rule, differentiated by JAX. Without it the rule's own
        forward is differenced numerically, and the report says what that could not see.
      wrt: as of `check_vjp`.
      name: for the report; by default the rule's name.
      seed: as of `check_vjp`.
      level: as of `check_vjp`.
      tolerance: as of `check_vjp`.
      raises: as of `check_vjp`.
      **static: as of `check_vjp`, keywords of `rule` and `primal`.

    Returns:
      The report.

    Raises:
      GradientMismatch: a witness contradicts the rule, and `raises`.
      CheckError: `primal` calls the rule itself, or something cannot be checked.

    Examples:
      >>> import jax, jax.numpy as jnp, jax_ref
      >>> @jax.custom_vjp
      ... def square(x):
      ...     return x * x
      >>> square.defvjp(lambda x: (x * x, x), lambda x, dy: (x * dy,))
      >>> report = jax_ref.check_rule(square, jnp.array([3.0]), raises=False)
      >>> print(report.headline)
      x[0]: hand 0.500 × truth: ½ × truth
    """
    with precision_of(args):
        subject = Rule("check_rule", rule, primal, args, wrt=wrt, static=static)
    name = _name_of(rule) if name is None else name
    return _check(subject, name, seed, level, tolerance, raises=raises)


def precision_of(args: Any) -> Any:
    """Return the context in which these arguments exist: float64 is on if the first has it."""
    dtypes = (getattr(leaf, "dtype", None) for leaf in jax.tree.leaves(args))
    first = next((d for d in dtypes if d is not None and jnp.issubdtype(d, jnp.inexact)), None)
    return jax.enable_x64(compiling.x64() or first in WIDE)


def _name_of(function: Any) -> str:
    name = getattr(function, "__name__", None) or type(function).__name__
    return str(name).rpartition(".")[2]


def _check(
    subject: Subject, name: str, seed: int, level: str, tolerance: float, *, raises: bool
) -> Report:
    settings = Settings.of(subject.place, name, seed, level, tolerance, raises=raises)
    level, tolerance = settings.level, settings.tolerance
    x64 = compiling.x64()
    rng = stream(settings.seed)
    dtype = subject.arguments.dtype
    low = dtype not in WIDE
    with jax.enable_x64(x64 or not low):
        examination = Examination(subject, rng)
    with jax.enable_x64(True):
        found = Findings(rows=list(examination.structure))
        if not found.rows:
            point = examination.point
            sampled = FEW if subject.reference else finite_difference.SAMPLED
            if low:
                found = precision_findings(examination, point, x64=x64)
                alone = examination.rests_on_differences()
                if level == "full" or alone or hides_mistakes(found.rows):
                    # Held against itself in float64, the rule must be true there.
                    thorough.add_float64(examination, found)
            else:
                found = float64_findings(examination, point, tolerance, sampled=sampled)
            found = kinks_at.forgive(examination, found, sampled=sampled)
            if level == "full":
                found = thorough.extend(examination, found, tolerance, x64=x64)
                found = kinks_at.resolve(examination, found)
        found.notes += examination.notes
        diagnoses = explain.failures(examination, found)
    report = Report(
        settings.name,
        dtype.name,
        tuple(found.rows),
        diagnoses=diagnoses,
        notes=tuple(found.notes),
        level=level,
        seed=settings.seed,
        device=compiling.device(),
    )
    return conclude(report, raises=settings.raises)


def conclude(report: Report, *, raises: bool) -> Report:
    """Return the report, or raise GradientMismatch where it failed and `raises`."""
    if raises and report.verdict is Verdict.FAIL:
        raise GradientMismatch(str(report))
    return report
