"""Settings for every test: float64 is there, nothing is promoted silently, shapes are enforced."""

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


@pytest.fixture(autouse=True, scope="session")
def with_compiled_programs_on_disk(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep what is compiled where it outlives a module: the small programs are always the same."""
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("programs")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@pytest.fixture(autouse=True, scope="module")
def without_old_programs() -> Iterator[None]:
    """Forget compiled programs after each module: their number makes everything slow and large."""
    yield
    jax.clear_caches()


@pytest.fixture
def without_annotations() -> Iterator[None]:
    """Switch the enforcement of annotations off, so that an op's own complaint is heard."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
