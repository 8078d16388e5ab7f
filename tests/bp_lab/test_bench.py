"""The benchmark's arithmetic, its files, and the command as a user types it; no timed assertion."""

import json
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from bp_lab.bench import checker, compare, flops, measure, models, ops, products
from bp_lab.bench.measure import Budget, Spread
from bp_lab.bench.program import Program
from bp_lab.bench.row import Row, geometric_mean, geometric_means, memory_ratio
from bp_lab.commands import bench as command
from bp_lab.errors import InputError


@dataclass
class Clock:
    """A side that says how long it takes, and writes down that it ran."""

    name: str
    seconds: list[float]
    log: list[str] = field(default_factory=list)

    def run(self) -> float:
        self.log.append(self.name)
        return self.seconds[self.log.count(self.name) % len(self.seconds)]


def test_sides_run_in_pairs_whose_first_is_drawn_after_a_warm_up() -> None:
    log: list[str] = []
    sides = Clock("a", [1.0, 2.0], log), Clock("b", [4.0], log)
    times = measure.in_turn(*sides, Budget(least=3, most=40))
    warm_up, runs = log[: 2 * measure.WARM_UP], log[2 * measure.WARM_UP :]
    assert warm_up == ["a", "b"] * measure.WARM_UP
    pairs = list(zip(runs[::2], runs[1::2], strict=True))
    assert len(pairs) == len(times) == 40
    assert set(pairs) == {("a", "b"), ("b", "a")}
    assert 10 < pairs.count(("a", "b")) < 30
    assert set(times[:, 0]) == {1.0, 2.0}
    assert set(times[:, 1]) == {4.0}


def test_a_budget_ends_after_its_seconds_but_not_before_the_least_pairs() -> None:
    side = Clock("a", [1.0])
    assert len(measure.in_turn(side, side, Budget(least=3, most=9, seconds=0.0))) == 3


def test_a_spread_is_of_the_ratios_of_pairs_not_of_the_sides() -> None:
    times = np.asarray([[1.0, 2.0], [10.0, 10.0], [3.0, 2.0], [2.0, 1.0], [1.0, 4.0]])
    assert Spread.of(times) == Spread(0.5, 1.0, 1.5)


def test_the_fastest_side_is_that_of_the_least_median() -> None:
    sides = {"steady": Clock("s", [2.0]), "lucky once": Clock("l", [3.0, 3.0, 3.0, 0.1])}
    assert measure.fastest(sides, 5) == "steady"
    log: list[str] = []
    measure.fastest({"x": Clock("x", [1.0], log), "y": Clock("y", [2.0], log)}, 20)
    pairs = list(zip(log[::2], log[1::2], strict=True))
    assert set(pairs) == {("x", "y"), ("y", "x")}
    assert measure.fastest({"only": Clock("o", [1.0])}, 5) == "only"


def row(name: str = "relu", **changes: Any) -> Row:
    made = Row(
        name=name,
        kind="op",
        size="batch 4×3",
        dtype="float32",
        seconds=1e-3,
        limit_share=0.5,
        floor_seconds=5e-4,
        temporary_bytes=0,
        moved_bytes=96,
        flops=12.0,
        product_flops=0.0,
        compile_seconds=0.1,
        pairs=5,
        peer="jax.nn",
        time_ratio=0.5,
        time_ratio_quartiles=(0.45, 0.55),
        memory_ratio=1.0,
        compile_ratio=1.0,
    )
    return replace(made, **changes)


def test_geometric_means_leave_out_what_is_missing() -> None:
    assert geometric_mean([2.0, None, 8.0]) == pytest.approx(4.0)
    assert geometric_mean([None]) is None
    rows = [
        row("a", time_ratio=0.5, torch_time_ratio=3.0),
        row("b", time_ratio=2.0),
        row("c", kind="model", time_ratio=8.0),
        row("d", dtype="bfloat16", time_ratio=7.0),
    ]
    means = geometric_means(rows)
    assert means.keys() == {"float32", "bfloat16"}
    assert means["float32"].keys() == {"op", "model", "all"}
    assert means["float32"]["op"]["time_ratio"] == pytest.approx(1.0)
    assert means["float32"]["all"]["time_ratio"] == pytest.approx(2.0)
    assert means["float32"]["all"]["torch_time_ratio"] == pytest.approx(3.0)
    assert means["bfloat16"]["op"]["rows"] == 1
    assert means["bfloat16"].keys() == {"op", "all"}


def test_memory_beside_none_is_no_infinite_ratio() -> None:
    assert memory_ratio(0, 0, 10**8) == 1.0
    assert memory_ratio(100, 0, 10**8) == pytest.approx(1.0, abs=1e-3)
    assert memory_ratio(0, 10**8, 10**8) == pytest.approx(0.01, abs=1e-3)
    assert memory_ratio(10**6, 10**6, 0) == 1.0


def test_products_are_counted_through_loops_branches_and_calls() -> None:
    a, b = jnp.ones((2, 3)), jnp.ones((3, 5))

    def count(function: Any, *args: Any) -> float:
        return flops.of_products(jax.make_jaxpr(function)(*args).jaxpr)

    product = 2 * 2 * 3 * 5
    assert count(lambda a, b: jnp.exp(a @ b) + 1, a, b) == product
    assert count(jax.jit(lambda a, b: a @ b), a, b) == product

    def loop(a: Any, b: Any) -> Any:
        return jax.lax.scan(lambda total, _: (total + a @ b, None), jnp.zeros((2, 5)), length=7)

    assert count(loop, a, b) == 7 * product
    branches = (lambda a, b: a @ b, lambda a, b: a[:, :1] @ b[:1])
    assert count(lambda a, b: jax.lax.cond(a[0, 0] > 0, *branches, a, b), a, b) == product
    x, W = jnp.ones((2, 8, 8, 6)), jnp.ones((3, 3, 2, 9))
    numbers = {"dimension_numbers": ("NHWC", "HWIO", "NHWC"), "feature_group_count": 3}
    conv = count(lambda x, W: jax.lax.conv_general_dilated(x, W, (1, 1), "SAME", **numbers), x, W)
    assert conv == 2 * (2 * 8 * 8 * 9) * 9 * 2


def test_the_products_of_a_training_step_are_those_counted_by_hand() -> None:
    mlp = replace(models.MODELS[0], batch=16)
    program = models.by_autodiff(models.peers.table["mlp"][0], mlp)
    first, second, third = 784 * 1024, 1024 * 1024, 1024 * 10
    assert program.product_flops() == 2 * 16 * (2 * first + 3 * second + 3 * third)


@pytest.mark.parametrize("model", ["mlp", "rnn", "lstm", "gru"])
def test_the_products_alone_are_those_of_the_step(model: str) -> None:
    chosen = replace(next(m for m in models.MODELS if m.config.model == model), batch=8)
    alone = products.of_step(model, chosen.initial()[0], chosen.data()[0])
    step = models.by_autodiff(models.peers.table[model][0], chosen)
    assert {program.product_flops() for program in alone.values()} == {step.product_flops()}


def test_the_products_alone_depend_on_each_other_as_in_the_step() -> None:
    rng = np.random.default_rng(0)
    W, U, V, x = (jnp.asarray(rng.standard_normal(s)) for s in ((3, 4), (4, 4), (4, 2), (5, 6, 3)))
    weights = [x[0, :, :].T @ x[0], U[:3], V]

    def of_layers(weights: Any) -> Any:
        return jnp.sum((x[:, 0] @ weights[0] @ weights[1] @ weights[2]) ** 2) / 2

    def of_recurrent(U: Any, V: Any) -> Any:
        h = jnp.broadcast_to(x[:, 0, :1], (5, 4))
        for _ in range(6):
            h = h @ U
        return jnp.sum((h @ V) ** 2) / 2

    for came, wanted in zip(
        products.of_layers(weights, x[:, 0]), jax.grad(of_layers)(weights), strict=True
    ):
        np.testing.assert_allclose(came, wanted, rtol=1e-12)
    _, _, *came = products.of_recurrent(W, U, V, x, unroll=4)
    for one, wanted in zip(came, jax.grad(of_recurrent, (0, 1))(U, V), strict=True):
        np.testing.assert_allclose(one, wanted, rtol=1e-10)


def test_other_models_have_no_products_alone() -> None:
    assert products.of_step("cnn", (), jnp.ones(1)) == {}


def test_a_program_that_carries_a_state_goes_on_from_it() -> None:
    program = Program(lambda state, by: (state + by, None), (jnp.zeros(3), jnp.ones(3)), True)
    compiled = program.compile()
    for _ in range(3):
        assert compiled.run() > 0
    np.testing.assert_array_equal(compiled.arguments[0], 3 * np.ones(3))
    np.testing.assert_array_equal(program.arguments[0], np.zeros(3))
    assert compiled.compile_seconds > 0
    assert compiled.moved_bytes == 3 * 3 * 8


def written(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"rows": rows}), "utf-8")
    return path


def old(**changes: Any) -> dict[str, Any]:
    return {"name": "relu", "dtype": "float32", "time_ratio": 0.5, "memory_ratio": 1.0, **changes}


@pytest.mark.parametrize(
    ("before", "now", "worse"),
    [
        (old(), row(), []),
        (old(time_ratio=0.4), row(), ["time"]),
        (old(time_ratio=0.44, time_ratio_quartiles=[0.4, 0.46]), row(), []),
        (old(time_ratio=0.44, time_ratio_quartiles=[0.43, 0.449]), row(), ["time"]),
        (old(time_ratio=0.4, size="batch 8"), row(), []),
        (old(time_ratio=0.4, dtype="bfloat16"), row(), []),
        (old(memory_ratio=0.5), row(), ["memory"]),
        (old(memory_ratio=0.99), row(), []),
        (old(time_ratio=None, memory_ratio=None), row(), []),
        (old(time_ratio=0.1, memory_ratio=0.1), row(time_ratio=None, memory_ratio=None), []),
        (old(time_ratio=0.1), row(time_ratio_quartiles=None), ["time"]),
    ],
)
def test_what_got_worse_by_more_than_the_spread(tmp_path: Path, before, now, worse) -> None:
    loaded = compare.load(written(tmp_path / "old.json", before))
    assert [regression.what for regression in compare.regressions(loaded, [now])] == worse


def test_what_was_written_is_what_is_compared(tmp_path: Path) -> None:
    made = json.loads(json.dumps(row().to_dict()))
    loaded = compare.load(written(tmp_path / "old.json", made))
    assert compare.matching(loaded, row()) is not None
    assert compare.regressions(loaded, [row()]) == []
    (worse,) = compare.regressions(loaded, [row(time_ratio=0.8, time_ratio_quartiles=(0.7, 0.9))])
    assert str(worse) == "relu, batch 4×3, float32: time 0.5 → 0.8"


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"rows": 3}', '{"rows": [3]}', '{"rows": [{"name": "relu"}]}', "\x00\xff"]
    + [json.dumps({"rows": [old(**bad)]}) for bad in ({"time_ratio": "fast"}, {"name": 1})]
    + [json.dumps({"rows": [old(**bad)]}) for bad in ({"time_ratio": 0}, {"size": 1})],
)
def test_a_file_that_the_benchmark_did_not_write_is_refused(tmp_path: Path, content) -> None:
    path = tmp_path / "old.json"
    path.write_text(content, "latin-1")
    with pytest.raises(InputError, match="bench: --compare: expected a file that --json wrote"):
        compare.load(path)


KEYS = {
    *("name", "kind", "size", "dtype", "peer", "time_ratio", "memory_ratio", "compile_ratio"),
    *("error_ratio", "torch_time_ratio", "limit_share", "seconds", "products_ratio"),
}


def test_bench_measures_prints_writes_draws_and_compares(manual_bp_command, tiny) -> None:
    dtypes = ("--dtype", "float32,bfloat16")
    outcome = manual_bp_command(
        "bench", "--pairs", "3", *dtypes, "--json", "b.json", "--plot", "b.png"
    )
    assert outcome.status == 0, outcome.err
    result = json.loads(Path("b.json").read_text("utf-8"))
    rows = result["rows"]
    assert [row["name"] for row in rows] == ["relu", "linear", "mlp step, sgd"] * 2
    assert [row["dtype"] for row in rows] == ["float32"] * 3 + ["bfloat16"] * 3
    for measured in rows:
        assert measured.keys() >= KEYS
        assert measured["torch_time_ratio"] is None
        for key in ("time_ratio", "memory_ratio", "compile_ratio", "limit_share", "seconds"):
            assert 0 < measured[key] < math.inf
        if measured["kind"] == "model":
            assert measured["error_ratio"] is None
            assert 0 < measured["products_ratio"] < math.inf
        else:
            assert measured["products_ratio"] is None
            assert 0.1 < measured["error_ratio"] < 10
    assert result["geometric_means"]["float32"]["op"]["error_ratio"] > 0.1
    assert result["geometric_means"]["float32"]["all"]["rows"] == 3
    assert result["complete"]
    assert result["threads"] >= 1
    assert result["versions"]["jax"] == jax.__version__
    assert "geometric mean, models" in outcome.out
    assert f"{result['device']}, {result['threads']} threads, jax {jax.__version__}" in outcome.out
    with Image.open("b.png") as picture:
        assert len(np.unique(np.asarray(picture.convert("L")))) > 20
    for fast in rows:
        fast["time_ratio"], fast["time_ratio_quartiles"] = 1e-9, [1e-9, 1e-9]
    Path("fast.json").write_text(json.dumps(result), "utf-8")
    outcome = manual_bp_command("bench", "relu", "--quick", "--compare", "fast.json")
    assert outcome.status == 1
    assert "Worse: relu, batch 5×3, float32: time 1e-09 →" in outcome.out
    assert "1 worse, 1 of 1 rows compared." in outcome.out


def test_bench_takes_one_kind_and_parts_of_names(manual_bp_command, tiny) -> None:
    settings = ("--quick", "--pairs", "3", "--json", "b.json")
    assert manual_bp_command("bench", "l", "--kind", "op", *settings).status == 0
    rows = json.loads(Path("b.json").read_text("utf-8"))["rows"]
    assert [row["name"] for row in rows] == ["relu", "linear"]
    assert manual_bp_command("bench", "step", *settings).status == 0
    rows = json.loads(Path("b.json").read_text("utf-8"))["rows"]
    assert [row["kind"] for row in rows] == ["model"]


def test_a_row_without_a_peer_is_measured_and_noted(manual_bp_command, tiny, monkeypatch) -> None:
    monkeypatch.setattr(ops, "fitting", lambda *_: [])
    outcome = manual_bp_command("bench", "relu", "--pairs", "3", "--json", "b.json")
    assert outcome.status == 0, outcome.err
    assert "relu, float32: no peer: what it is written with is not installed" in outcome.out
    (measured,) = json.loads(Path("b.json").read_text("utf-8"))["rows"]
    assert measured["time_ratio"] is None
    assert measured["seconds"] > 0


def test_ctrl_c_keeps_what_was_measured(manual_bp_command, tiny, monkeypatch) -> None:
    def until_linear(subject: Any, *_: Any) -> Row:
        if subject.name == "linear":
            raise KeyboardInterrupt
        return row(subject.name)

    monkeypatch.setattr(command, "measured", until_linear)
    outcome = manual_bp_command("bench", "--json", "b.json", "--plot", "b.png")
    assert (outcome.status, outcome.err) == (130, "")
    assert "Interrupted after 1 of 3 rows." in outcome.out
    result = json.loads(Path("b.json").read_text("utf-8"))
    assert [measured["name"] for measured in result["rows"]] == ["relu"]
    assert not result["complete"]
    assert Path("b.png").exists()


def test_bench_checker_goes_on_working(manual_bp_command, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    summary = {
        "seconds": 0.2,
        "check_grads_seconds": 0.4,
        "ratio": 0.5,
        "ratio_quartiles": (0.4, 0.6),
    }
    monkeypatch.setattr(checker, "cost", lambda pairs: {"first_call": {**summary, "pairs": pairs}})
    large = {"entries": 2**18, "seconds": 1.0, "peak_bytes": 2**20}
    monkeypatch.setattr(checker, "large", lambda: iter([large]))
    outcome = manual_bp_command("bench", "checker", "--json", "c.json")
    assert outcome.status == 0, outcome.err
    assert "first call" in outcome.out
    result = json.loads(Path("c.json").read_text("utf-8"))
    assert result["cost"]["first_call"]["pairs"] == result["pairs"] == 5
    assert result["large"] == [large]
