"""The table of all claims as a Markdown page; run as a script it writes docs/CLAIMS.md."""

import importlib
import sys
from pathlib import Path

from claim import Claim, registry

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs" / "CLAIMS.md"

HEAD = """\
# Claims

What a set of lecture notes on backpropagation claims, S0 to S4, one row a claim and one test a row.
Each test computes one side from scalars written out, and the other by `manual_bp`; a FALSE claim is
shown to fail, and its correction to hold. Formulas are in column form, `u = W x + b`, with
`δ = ∂L/∂u`, `⊙` the elementwise product and `m` the number of samples.

| verdict | meaning |
| --- | --- |
| TRUE | it holds as stated |
| FALSE | it fails as stated; the correction holds |
| CONVENTION | a choice; the correction names the option that selects it |
| BEHAVIOUR | an effect, seen in a seeded experiment |

This page is generated from the tests: `make docs`.

| claim | says | verdict | correction | test |
| --- | --- | --- | --- | --- |
"""


def load() -> None:
    """Import every test module of this folder, so that all claims are registered."""
    if str(HERE) not in sys.path:
        sys.path.insert(0, str(HERE))
    for file in sorted(HERE.glob("test_s*.py")):
        importlib.import_module(file.stem)


def order(claim: Claim) -> tuple[int, int]:
    """Return where a claim stands: "S1.10" is (1, 10)."""
    document, number = claim.identifier[1:].split(".")
    return int(document), int(number)


def row(claim: Claim) -> str:
    """Return the claim's row of the table."""
    link = f"[`{claim.test}`](../tests/claims/{claim.file})"
    cells = (claim.identifier, claim.says, claim.verdict, claim.correction, link)
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n"


def render() -> str:
    """Return the page."""
    load()
    return HEAD + "".join(row(claim) for claim in sorted(registry.values(), key=order))


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(render(), encoding="utf-8")
