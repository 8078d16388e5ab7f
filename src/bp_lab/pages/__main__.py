"""Write the generated pages: `python -m bp_lab.pages` in the root of a checkout."""

from pathlib import Path

from bp_lab.files import write_bytes
from bp_lab.pages.catalogue import render


def main() -> None:
    """Write docs/CATALOGUE.md."""
    path = Path("docs") / "CATALOGUE.md"
    path.parent.mkdir(exist_ok=True)
    write_bytes(path, render().encode())
    print(path)


main()
