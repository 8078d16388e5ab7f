"""The decorator that ties a test to the claim that it decides, and the registry of all claims."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

Verdict = Literal["TRUE", "FALSE", "CONVENTION", "BEHAVIOUR"]
Test = TypeVar("Test", bound=Callable[..., None])


@dataclass(frozen=True)
class Claim:
    """A claim of the lecture notes and the test that decides it.

    Attributes:
      identifier: its number, "S1.7".
      says: the claim in one line.
      verdict: TRUE; FALSE, with the corrected statement in `correction`; CONVENTION, a choice, with
        the option that selects it in `correction`; BEHAVIOUR, an effect seen in an experiment.
      correction: empty for TRUE and BEHAVIOUR.
      file: name of the test's file.
      test: name of the test.
    """

    identifier: str
    says: str
    verdict: Verdict
    correction: str
    file: str
    test: str


registry: dict[str, Claim] = {}


def claim(
    identifier: str, *, says: str, verdict: Verdict, correction: str = ""
) -> Callable[[Test], Test]:
    """Enter the decorated test in the registry as the one that decides a claim.

    Raises:
      ValueError: the claim has a test already; or a FALSE or CONVENTION has no correction, or
        another verdict has one.
    """
    if identifier in registry:
        raise ValueError(f"claim: {identifier}: decided by {registry[identifier].test} already")
    if bool(correction) != (verdict in ("FALSE", "CONVENTION")):
        raise ValueError(f"claim: {identifier}: correction does not go with verdict {verdict}")

    def enter(test: Test) -> Test:
        file = Path(test.__code__.co_filename).name
        registry[identifier] = Claim(identifier, says, verdict, correction, file, test.__name__)
        return test

    return enter
