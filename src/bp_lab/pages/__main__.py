"""Write the generated pages: `python -m bp_lab.pages` in the root of a checkout."""

from pathlib import Path

from bp_lab.files import write_bytes
from bp_lab.pages import catalogue, performance


def main() -> None:
    """Write docs/CATALOGUE.md, docs/PERFORMANCE.md and the README's table."""
    root = Path()
    results, readme = performance.load(root), Path("README.md")
    forms = (root / performance.FORMS).read_text(encoding="utf-8")
    pages = {
        Path("docs") / "CATALOGUE.md": catalogue.render(),
        performance.PAGE: performance.render(results, forms),
        readme: performance.in_readme(results, readme.read_text(encoding="utf-8")),
    }
    for path, text in pages.items():
        write_bytes(path, text.encode())
        print(path)


main()
