"""Work shared among processes, as compiling and tracing in threads wait for one another."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import TypeVar

_Item, _Result = TypeVar("_Item"), TypeVar("_Result")


def mapped(
    function: Callable[[_Item], _Result],
    items: Sequence[_Item],
    workers: int | None = None,
    *,
    renewed: int | None = None,
) -> Iterator[_Result]:
    """Yield what a function returns for each item, in their order, as it becomes known.

    Args:
      function: of a module, so that it can be found in another process.
      items: can be pickled.
      workers: how many processes share the work; by default one a core, 1 for this one alone.
      renewed: items for each process, after which others take their place, as what JAX has
        compiled is never all given back; None for no end.
    """
    workers = workers or os.cpu_count() or 1
    if workers == 1:
        yield from map(function, items)
        return
    # A stop from the keyboard is for this process to answer; it takes the others down with it.
    ignore = partial(signal.signal, signal.SIGINT, signal.SIG_IGN)
    at_once = workers * renewed if renewed else max(1, len(items))
    # The pool's own `max_tasks_per_child` can wait for ever (CPython 115634).
    for first in range(0, len(items), at_once):
        pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=ignore)
        try:
            yield from pool.map(function, items[first : first + at_once])
        finally:
            pool.shutdown(cancel_futures=True)
