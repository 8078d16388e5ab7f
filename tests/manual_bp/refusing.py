"""What an op says of bad input."""

from collections.abc import Callable
from typing import Any

import pytest


def message(
    kind: type[Exception], function: Callable[..., Any], *args: Any, **settings: Any
) -> str:
    """Return the message with which the function refuses the arguments."""
    with pytest.raises(kind) as raised:
        function(*args, **settings)
    return str(raised.value)
