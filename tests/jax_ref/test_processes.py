"""Work shared among processes: order, laziness, and that processes are renewed."""

import os

import pytest

from jax_ref.processes import mapped


def doubled(number: int) -> tuple[int, int]:
    return 2 * number, os.getpid()


def failing(number: int) -> int:
    raise ValueError(number)


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_items(workers: int) -> None:
    came = list(mapped(doubled, range(5), workers))
    assert [result for result, _ in came] == [0, 2, 4, 6, 8]
    assert (os.getpid() in {process for _, process in came}) == (workers == 1)
    assert list(mapped(doubled, [], workers)) == []


def test_processes_are_renewed() -> None:
    came = list(mapped(doubled, range(5), 2, renewed=1))
    assert [result for result, _ in came] == [0, 2, 4, 6, 8]
    first, second, third = ({process for _, process in came[i : i + 2]} for i in (0, 2, 4))
    assert not first & second
    assert not second & third


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_is_handed_on(workers: int) -> None:
    with pytest.raises(ValueError, match="3"):
        list(mapped(failing, [3, 4], workers))
