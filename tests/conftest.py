"""Settings for every test: float64 is there, nothing is promoted silently, shapes are enforced."""

import gc
import os
from collections.abc import Iterator

# Nearly all of a test's time goes to compiling programs that run once.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false "
    "--xla_cpu_parallel_codegen_split_count=1",
)

import hypothesis
import jax
import jaxtyping
import pytest

# What is traced lives long. To look for what can be dropped among it, and to note where every line
# of a program came from, takes a twentieth of the time.
gc.freeze()
gc.set_threshold(200_000, 20, 100)
jax.config.update("jax_include_full_tracebacks_in_locations", False)
jax.config.update("jax_traceback_in_locations_limit", 0)

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

hypothesis.settings.register_profile(
    "default", deadline=None, max_examples=4, derandomize=True, print_blob=True
)
hypothesis.settings.register_profile(
    "thorough",
    parent=hypothesis.settings.get_profile("default"),
    derandomize=False,
    max_examples=200,
)
hypothesis.settings.load_profile("default")


@pytest.fixture(autouse=True, scope="module")
def without_old_programs() -> Iterator[None]:
    """Drop compiled programs after each module: their number makes everything slow and large."""
    yield
    jax.clear_caches()


@pytest.fixture
def without_annotations() -> Iterator[None]:
    """Switch the enforcement of annotations off, so that an op's own complaint is heard."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
