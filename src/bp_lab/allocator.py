"""How much memory there is, and how it is allocated: what was freed is kept for the next array.

XLA takes fresh memory for the results and the temporaries of every call. The C library of Linux
hands large pieces back to the system when they are freed, and the next call pays for every page of
them again, which can take longer than what is computed.
"""

import ctypes
import os

# Of <malloc.h>; the values are part of glibc's interface.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_KEPT_BYTES = 2**31 - 1  # the largest that it takes


def keep_pages() -> bool:
    """Let the process keep freed memory, and return whether it can: elsewhere nothing changes.

    What a process holds then stays at its peak. To be called before arrays are made.
    """
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    settings = ((_ARENA_MAX, 1), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, _KEPT_BYTES))
    return all(tuple(set_option(*setting) for setting in settings))


def bytes_in_all() -> int | None:
    """Return the memory of the device that arrays live on; None where it cannot be told."""
    import jax

    of_device = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    if of_device is not None or not hasattr(os, "sysconf"):
        return of_device
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
