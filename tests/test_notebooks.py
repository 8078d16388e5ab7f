import ast
import base64
import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from bp_lab.pages import notebooks

FOLDER = Path(__file__).parents[1] / "notebooks"
COMMITTED = sorted(FOLDER.glob("*.ipynb"))
IMPORTS = {"bp_lab", "jax", "jax_ref", "manual_bp", "matplotlib", "numpy"}
VARYING = {"rounding", "timing"}  # tags of cells whose text depends on the machine
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
ABSOLUTE_PATH = re.compile(r"""(?:^|[\s"'(=])(?:/[A-Za-z]\w*/|[A-Z]:\\)""", re.MULTILINE)

each_notebook = pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text_of(cell):
    parts = []
    for output in cell.get("outputs", ()):
        parts.append(output.get("text", ""))
        if "image/png" not in output.get("data", {}):
            parts.append(output.get("data", {}).get("text/plain", ""))
    return "".join(parts)


def pictures_of(notebook):
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    found = [output.get("data", {}).get("image/png") for output in outputs]
    return [base64.b64decode(picture) for picture in found if picture]


def one_in_the_last_place(number):
    mantissa, _, exponent = number.partition("e")
    if not exponent and "." not in mantissa:
        return 0
    return 1.01 * 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))


def expect_same_text(text, committed):
    assert NUMBER.sub("#", text) == NUMBER.sub("#", committed)
    for new, old in zip(NUMBER.findall(text), NUMBER.findall(committed), strict=True):
        assert abs(float(new) - float(old)) <= one_in_the_last_place(old), (new, old)


# The committed notebooks


def test_there_are_notebooks():
    assert len(COMMITTED) >= 3


@each_notebook
def test_notebook_runs_and_shows_what_is_committed(path):
    committed = nbformat.read(path, as_version=4)
    executed = notebooks.execute(path)
    assert len(pictures_of(executed)) == len(pictures_of(committed))
    for new, old in zip(code_cells(executed), code_cells(committed), strict=True):
        if not VARYING & set(old.metadata.get("tags", ())):
            expect_same_text(text_of(new), text_of(old))


@each_notebook
def test_notebook_is_committed_with_its_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        if "print(" in cell.source:
            assert text_of(cell).strip()
        if "plt.show()" in cell.source:
            assert any("image/png" in output.get("data", {}) for output in cell.outputs)
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr"
    pictures = pictures_of(notebook)
    assert pictures
    assert all(len(picture) <= 200_000 for picture in pictures)


@each_notebook
def test_notebook_holds_nothing_of_where_it_ran(path):
    notebook = nbformat.read(path, as_version=4)
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags"}
        for text in (cell.source, text_of(cell)):
            assert not ABSOLUTE_PATH.search(text), text
            assert str(Path.home()) not in text or str(Path.home()) == "/"
            assert not re.search(r"\b(TODO|FIXME|XXX|HACK|breakpoint|pdb)\b", text), text


@each_notebook
def test_notebook_imports_the_project_and_its_dependencies_only(path):
    for cell in code_cells(nbformat.read(path, as_version=4)):
        for node in ast.walk(ast.parse(cell.source)):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module]
            for name in names:
                assert name.partition(".")[0] in IMPORTS | sys.stdlib_module_names


# The runner


def write_notebook(path, *sources, **metadata):
    cells = [new_code_cell(source) for source in sources]
    nbformat.write(new_notebook(cells=cells, metadata=metadata), path)
    return path


def test_main_runs_in_place_with_this_interpreter_in_the_folder(tmp_path, capsys):
    path = write_notebook(
        tmp_path / "small.ipynb",
        "import os, sys\nprint(os.path.samefile(sys.executable, " + repr(sys.executable) + "))",
        "print(sorted(os.listdir()))",
        "print('log', file=sys.stderr)\nprint('kept')",
        kernelspec={"name": "elsewhere", "display_name": "x"},
        language_info={"name": "python", "version": "2.7"},
    )
    path.chmod(0o640)
    assert notebooks.main([str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{path}: 3 cells, 0 pictures\n"
    notebook = nbformat.read(path, as_version=4)
    texts = [text_of(cell) for cell in notebook.cells]
    assert texts == ["True\n", "['small.ipynb']\n", "kept\n"]
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.language_info == {"name": "python"}
    assert all(cell.metadata == {} for cell in notebook.cells)
    assert [file.name for file in tmp_path.iterdir()] == ["small.ipynb"]
    assert path.stat().st_mode & 0o777 == 0o640


def test_main_leaves_a_notebook_that_fails_as_it_was(tmp_path, capsys):
    path = write_notebook(tmp_path / "wrong.ipynb", "print(1)", "assert 1 + 1 == 3, 'arithmetic'")
    before = path.read_bytes()
    assert notebooks.main([str(tmp_path)]) == 1
    errors = capsys.readouterr().err
    assert errors.startswith(f"{path}: failed, left as it was\n")
    assert errors.endswith("AssertionError: arithmetic\n")
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["wrong.ipynb"]


@pytest.mark.parametrize("name", ["", "missing"])
def test_main_without_notebooks_says_so_in_a_line(tmp_path, capsys, name):
    folder = tmp_path / name
    assert notebooks.main([str(folder)]) == 2
    captured = capsys.readouterr()
    assert captured.err == f"notebooks: folder: expected .ipynb files, got none in {folder}\n"
    assert captured.out == ""


def test_a_write_that_fails_keeps_the_old_file(tmp_path):
    path = write_notebook(tmp_path / "old.ipynb", "1")
    before = path.read_bytes()
    lone_surrogate = new_notebook(cells=[new_code_cell("'\ud800'")])
    with pytest.raises(UnicodeEncodeError):
        notebooks.write(lone_surrogate, path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["old.ipynb"]


@pytest.mark.parametrize(
    ("text", "committed", "same"),
    [
        ("a 0.123457", "a 0.123456", True),
        ("a 0.123459", "a 0.123456", False),
        ("1.3e-12", "1.2e-12", True),
        ("1.3e-11", "1.2e-12", False),
        ("8 layers", "9 layers", False),
        ("a 1.0", "b 1.0", False),
        ("-0.5", "0.5", False),
    ],
)
def test_texts_may_differ_by_one_in_the_last_place(text, committed, same):
    if same:
        expect_same_text(text, committed)
    else:
        with pytest.raises(AssertionError):
            expect_same_text(text, committed)
