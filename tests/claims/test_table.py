"""The registry of claims is complete, and docs/CLAIMS.md shows it as it is."""

import ast

import claim
import pytest
import table

REQUIRED = (
    *(f"S0.{n}" for n in range(1, 13)),
    *(f"S1.{n}" for n in range(1, 19)),
    *(f"S2.{n}" for n in range(1, 8)),
    *(f"S3.{n}" for n in range(1, 11)),
    *(f"S4.{n}" for n in range(1, 14)),
)


def _decorated():
    """Yield (claim, name of the test) for every use of the decorator in the sources."""
    for file in sorted(table.HERE.glob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            for decorator in getattr(node, "decorator_list", ()):
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "claim":
                    yield ast.literal_eval(decorator.args[0]), node.name


def test_every_claim_is_decided_once():
    table.load()
    assert sorted(claim.registry, key=lambda name: table.order(claim.registry[name])) == [*REQUIRED]
    assert sorted(identifier for identifier, _ in _decorated()) == sorted(REQUIRED)


def test_every_test_is_named_by_its_claim():
    table.load()
    for identifier, test in _decorated():
        assert test.startswith(f"test_{identifier.lower().replace('.', '_')}_")
        assert claim.registry[identifier].test == test


def test_the_page_is_up_to_date():
    assert table.PAGE.read_text(encoding="utf-8") == table.render(), "run: make docs"


def test_a_claim_is_not_decided_twice():
    table.load()
    with pytest.raises(ValueError, match=r"S1\.7: decided by test_s1_7_"):
        claim.claim("S1.7", says="again", verdict="TRUE")


@pytest.mark.parametrize(
    ("verdict", "correction"), [("TRUE", "so"), ("BEHAVIOUR", "so"), ("FALSE", "")]
)
def test_a_correction_goes_with_its_verdict(verdict, correction):
    with pytest.raises(ValueError, match="correction does not go with verdict"):
        claim.claim("S9.9", says="nothing", verdict=verdict, correction=correction)
