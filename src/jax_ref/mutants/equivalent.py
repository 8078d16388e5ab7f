"""Mutants that no gradient tells from the original, each with the reason.

The key is the file, the line of source and the line with the mistake, so that an entry holds
wherever the line moves, and is stale as soon as the line changes.
"""

from collections.abc import Mapping
from types import MappingProxyType

_ROOM = "A sign kept as a number of the input's dtype is the same sign, in more memory."
_EVEN = "The slope is an even function of u; a minus on u changes nothing."
_FLOAT32 = "Of float32 the dtype for sums is float32, whichever branch says so."
_NONE_BETWEEN = "There is no floating dtype of more than 32 bits and less than 64."
_BOTH_FORMS = "Both forms keep every digit at the threshold; either may be taken there."
_FAR = "Beyond ±49 as beyond ±100 σ(2v) is 0 or 1 to the last bit, and u³ is finite."
_EVEN_LENGTH = (
    "The stages come in pairs: the last stands at an odd place, which the step of 2 skips."
)

_ROUNDED_PIECES = (
    "In half precision each of the few pieces is rounded, not their sum alone: of gradients that "
    "are rounded themselves no check can tell."
)
_NEVER = "No entry is NaN and finite, whichever are asked."
_NO_NAN = "Only where a cotangent is NaN do the two differ, and no check draws such a one."
_BY_GROUPS = "A product by groups, of one group, is the product."
_PRODUCT = "math.prod(over.kernel)"
_OF_PIECE = "some, d, over.dilation, around, rhs_dilation=over.strides, dimension_numbers=numbers"
_SUMS = "preferred_element_type=op.wide_dtype(x.dtype),"

_NONE_TO_WRITE = "Parameters of no layers are empty, and so are their gradients."
_ONE_DEPTH = "All parameters have one first axis; another of them has it as well."
_DEPTH = "return len(jax.tree.leaves(parameters)[{}])"
_LATER = "place = place {} op.zero_after({}){}"
_AS_IS = ".astype(place.dtype)"
_COUNT = "parameters = len(jax.tree.leaves(own[{}], is_leaf=_absent))"
_ROOM_ONLY = (
    "Only what waits for what differs, and so the memory that XLA takes: a test looks at it."
)
_TAPS_ARE_RIGHT = "A product for each tap is right in any case; where it is faster was measured."

_FORMED_AGAIN = "What is not kept is formed again, and is the same: only the memory differs."

_OF_CELL = "return sequence.choose(mask, new, h), ({}, y)"
_SETTINGS_OF_RNN = "x, h0, dtype, segment = residual.x, residual.h0, residual.x.dtype, residual.{}"
_LOOP_OF_RNN = "dh, delta = jax.lax.scan(step, dh, inputs, reverse=True, unroll=residual.{})"
_OF_LSTM = "return (h, c), ({}, c, sequence.choose(mask, new_h, 0.0))"
_TAPS = "return groups {} {} or {} {} {}"
_ONE_GROUP = "if groups == {}:"
_TANH = "return 4 * sigmoid_slope{} # (2)"
_CHOICE = "dlogits = dl * jnp.where(log_p {}, near_one, jnp.exp(log_p) * total - s) # (1)"
_WIDE = "return jnp.dtype(jnp.float32) if jnp.finfo(dtype).bits {} else jnp.dtype(dtype)"
_LAYERS = "return tuple(Layer(*layer) for layer in dparameters[{}]), dx, cotangents[{}]"

_NOT_ROUNDED = "A factor that is not rounded makes the product no less exact, and slower."
_WHICHEVER_FIRST = "The larger, or smaller, of two is the same whichever comes first."
_FILLED = "around[axis] = (0, {} if size > {} else 0, 0)"
_FILLED_UP = "What lies beyond the last tile is not read, and tiles of one or two divide two."
_OF_PRODUCT = "subscripts, {}, {}, preferred_element_type=op.wide_dtype(dtype)"

_BY_FILE: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "elementwise.py": (
        (
            "if kept is not None and kept.dtype == u_wide.dtype:",
            "if kept is not None:",
            _ROOM,
        ),
        (
            "if kept is not None and kept.dtype == u_wide.dtype:",
            "if kept is not None and kept.dtype != u_wide.dtype:",
            _ROOM + " A slope of half precision stays in float32, as below.",
        ),
        (
            "kept = kept.astype(u.dtype)",
            "kept = kept",
            "The slope of half precision stays in float32: more memory, and a gradient that is no "
            "less exact.",
        ),
    ),
    "activations.py": (
        ("u = jnp.clip(u, -50, 50)", "u = jnp.clip(u, -49, 50)", _FAR),
        ("u = jnp.clip(u, -50, 50)", "u = jnp.clip(u, -50, 51)", _FAR),
        ("u = jnp.clip(u, -50, 50)", "u = jnp.clip(u, -100, 50)", _FAR),
        ("u = jnp.clip(u, -50, 50)", "u = jnp.clip(u, -50, 100)", _FAR),
        (
            "e, above = jnp.exp(-jnp.abs(u)), u >= 0",
            "e, above = jnp.exp(-jnp.abs(u)), u > 0",
            "At u = 0 both expansions are the same, as e^(−2u) is 1.",
        ),
    ),
    "attention/dot_product_attention.py": (
        *(
            (
                _OF_PRODUCT.format("a.astype(dtype)", "b.astype(dtype)"),
                _OF_PRODUCT.format(*factors),
                _NOT_ROUNDED,
            )
            for factors in (("a", "b.astype(dtype)"), ("a.astype(dtype)", "b"))
        ),
        (
            "higher = jnp.maximum(m, u.max(-1, keepdims=True))",
            "higher = jnp.maximum(u.max(-1, keepdims=True), m)",
            _WHICHEVER_FIRST,
        ),
        ("groups = min(n, g)", "groups = min(g, n)", _WHICHEVER_FIRST),
    ),
    "attention/tiles.py": (
        *(
            (_FILLED.format("filled - size", 1), _FILLED.format(*more), _FILLED_UP)
            for more in (("filled", 1), ("filled + size", 1), ("filled - size", 2))
        ),
        (
            "starts, sizes = [jnp.int32(0)] * x.ndim, list(x.shape)",
            "starts, sizes = [jnp.int32(1)] * x.ndim, list(x.shape)",
            "A slice of a whole axis starts at 0, wherever it is told to.",
        ),
        (
            "if self.filled[1] > self.keys:",
            "if self.filled[1] >= self.keys:",
            "Where no tile is filled up all keys are below their number.",
        ),
    ),
    "convolution/kernels.py": (
        (
            "wide = -(-(w + max(before, after)) // strides[1]) * strides[1]",
            "wide = -(-(w + max(after, before)) // strides[1]) * strides[1]",
            _WHICHEVER_FIRST,
        ),
        *(
            (_TAPS.format(">", 1, _PRODUCT, "==", 1), _TAPS.format(*mistake), _TAPS_ARE_RIGHT)
            for mistake in (
                *((*more, _PRODUCT, "==", 1) for more in ((">=", 1), (">", 0), (">", -1))),
                *((">", 1, _PRODUCT, "==", count) for count in (2, -1, 0)),
                (">", 1, _PRODUCT, "!=", 1),
                (">", 1, "sum(over.kernel)", "==", 1),
            )
        ),
        (
            _TAPS.format(">", 1, _PRODUCT, "==", 1),
            "return groups > 1",
            "A convolution with one tap is a convolution, and right; as a product it is faster.",
        ),
        *((_ONE_GROUP.format(1), _ONE_GROUP.format(none), _BY_GROUPS) for none in (-1, 0)),
        *(
            ("if groups > 1:", f"if groups {one_too}:", _BY_GROUPS)
            for one_too in (">= 1", "> 0", "> -1")
        ),
        *(
            (original, mistake, _ROUNDED_PIECES)
            for original, mistake in (
                (
                    f"jax.lax.conv_general_dilated( {_OF_PIECE}, {_SUMS} )",
                    f"jax.lax.conv_general_dilated({_OF_PIECE})",
                ),
                (_SUMS, "preferred_element_type=x.dtype,"),
            )
        ),
    ),
    "logistic.py": (
        (
            "return jnp.where(u < 0, e * s, s), e * s * s # (3)",
            "return jnp.where(u <= 0, e * s, s), e * s * s # (3)",
            "At u = 0 both are ½, as e is 1.",
        ),
        (_TANH.format("(2 * u)"), _TANH.format("(-2 * u)"), _EVEN),
        (_TANH.format("(2 * u)"), _TANH.format("(-(2 * u))"), _EVEN),
    ),
    "losses/distance.py": tuple(
        (
            "return jnp.where(once == 0, 0, once * e)",
            mistake,
            "Only where e is infinite do they differ: no check draws that, a test of its own does.",
        )
        for mistake in ("return once * e", "return jnp.where(once == 1, 0, once * e)")
    ),
    "losses/focal.py": (
        ("negative = z < 0", "negative = z <= 0", "At z = 0 both are ½, as e is 1."),
    ),
    "losses/hinge.py": (
        (
            "dm = -dl * jnp.sign(jnp.maximum(one - t * s, zero)) # (1)",
            "dm = -dl * jnp.sign(jnp.maximum(zero, one - t * s)) # (1)",
            _WHICHEVER_FIRST,
        ),
    ),
    "losses/kl_divergence.py": (
        (
            "return jnp.where(p == 0, 0, jnp.log(p) - log_q)",
            "return jnp.where(p == 0, 1, jnp.log(p) - log_q)",
            "Where p is 0 the loss takes it times p, and the gradient does not take it.",
        ),
    ),
    "losses/softmax_cross_entropy.py": (
        (
            "return jnp.where(s == 0, jnp.maximum(log_p, jnp.finfo(s.dtype).min), log_p)",
            "return jnp.maximum(log_p, jnp.finfo(s.dtype).min)",
            "A label on a class that cannot be then costs the largest number, not ∞: no check "
            "compares; a test of its own does.",
        ),
        (_CHOICE.format("> -0.25"), _CHOICE.format(">= -0.25"), _BOTH_FORMS),
    ),
    "models/checkpointed_stack.py": (
        (
            "return layers, dy",
            "return (zeroed(layers), dy)",
            _NONE_TO_WRITE,
        ),
        (
            "return places[:-last].reshape(-1, segment), places[-last:]",
            "return places[:-last].reshape(segment, -1), places[-last:]",
            "Segments of another length give the same gradient, in other memory.",
        ),
    ),
    "models/layer_stack.py": (
        ("return layers, dy", "return (zeroed(layers), dy)", _NONE_TO_WRITE),
        *((_DEPTH.format(0), _DEPTH.format(other), _ONE_DEPTH) for other in (-1, 1)),
    ),
    "models/layers.py": (
        *(
            (_LATER.format("+", known, _AS_IS), mutated, why)
            for known in ("dx", "arrays[number]")
            for mutated, why in (
                ("place = place", _ROOM_ONLY),
                (_LATER.format("-", known, _AS_IS), "What is added is 0."),
                (_LATER.format("+", known, ""), "With float64 alone its dtype is another."),
            )
        ),
        *((_COUNT.format(0), _COUNT.format(other), _ROOM_ONLY) for other in (-1, 1)),
        (
            "for number in (*range(parameters), *reversed(range(parameters, len(new)))):",
            "for number in (*range(parameters), *range(parameters, len(new))):",
            _ROOM_ONLY,
        ),
    ),
    "models/mlp.py": (
        (_LAYERS.format("::2", "::2"), _LAYERS.format(":-1:2", "::2"), _EVEN_LENGTH),
        (_LAYERS.format("::2", "::2"), _LAYERS.format("::2", ":-1:2"), _EVEN_LENGTH),
    ),
    "models/reversible_stack.py": (
        (
            "place = depth - 1 - number",
            "place = -1 - number",
            "A place below 0 counts from the last.",
        ),
    ),
    "normal.py": (
        (
            "s, below = density(v) * (mills(v) - v), u < 0",
            "s, below = density(v) * (mills(v) - v), u <= 0",
            "At u = 0 s is ½, and so is 1 − s.",
        ),
    ),
    "op.py": (
        (_WIDE.format("< 32"), _WIDE.format("<= 32"), _FLOAT32),
        (_WIDE.format("< 32"), _WIDE.format("< 33"), _FLOAT32),
        (_WIDE.format("< 32"), _WIDE.format("< 64"), _NONE_BETWEEN),
        *(
            ("one = x.reshape(-1)[:1]", f"one = x.reshape(-1)[{part}]", _NEVER)
            for part in ("1:1", ":0", ":2")
        ),
        (
            "return (jnp.isnan(one) & jnp.isfinite(one)).any().astype(jnp.int32)",
            "return (jnp.isnan(one)).any().astype(jnp.int32)",
            _NO_NAN,
        ),
    ),
    "recurrence/gru.py": (
        (
            "U_rz, U_n = jnp.split(U, columns, 1)",
            "U_rz, U_n = jnp.split(U, columns, -1)",
            "The second of two axes is the last.",
        ),
        *(
            (_OF_CELL.format("None if recompute else kept"), _OF_CELL.format(kept), _FORMED_AGAIN)
            for kept in ("kept if recompute else None", "None", "kept")
        ),
    ),
    "recurrence/lstm.py": tuple(
        (_OF_LSTM.format("None if recompute else u"), _OF_LSTM.format(kept), _FORMED_AGAIN)
        for kept in ("u if recompute else None", "None", "u")
    ),
    "recurrence/rnn.py": (
        *(
            (_OF_CELL.format("None if recompute else u"), _OF_CELL.format(kept), _FORMED_AGAIN)
            for kept in ("u if recompute else None", "None", "u")
        ),
        (
            _SETTINGS_OF_RNN.format("segment"),
            _SETTINGS_OF_RNN.format("unroll"),
            "How many steps are taken together changes no value.",
        ),
        (
            _LOOP_OF_RNN.format("unroll"),
            _LOOP_OF_RNN.format("segment"),
            "How many steps an iteration has changes no value.",
        ),
    ),
}

EQUIVALENT: Mapping[tuple[str, str, str], str] = MappingProxyType(
    {
        (file, original, mutated): why
        for file, entries in _BY_FILE.items()
        for original, mutated, why in entries
    }
)
