"""Errors that a person at the command line can mend."""

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130  # exit statuses; the last is what shells expect


class InputError(ValueError):
    """Something the user gave cannot be used; the message says what, what was expected, what came.

    The command line prints the message and exits with status 2.
    """

    def __init__(self, place: str, argument: str, expected: str, came: object) -> None:
        """Build the message `place: argument: expected …, got …`."""
        from manual_bp.op import complaint  # not above: with it comes JAX, which takes a second

        super().__init__(complaint(place, argument, expected, came))


def expect_seed(place: str, seed: int) -> None:
    """Raise an InputError unless every generator of random numbers here takes the seed."""
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise InputError(place, "--seed", "a whole number from 0 to 2³²−1", seed)
