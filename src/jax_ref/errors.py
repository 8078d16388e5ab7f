"""What a user of the checker can mend."""


class CheckError(ValueError):
    """Something handed to the checker cannot be checked; one line says what, and what came."""

    def __init__(self, place: str, argument: str, expected: str, came: object) -> None:
        """Build the message `place: argument: expected …, got …`."""
        super().__init__(f"{place}: {argument}: expected {expected}, got {came}")
