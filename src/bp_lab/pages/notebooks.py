"""Run notebooks, and keep what they show and nothing of where and when they ran.

python -m bp_lab.pages.notebooks notebooks
"""

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from traitlets import default
from traitlets.config import Config

KERNEL = "python3"
COLOR = re.compile(r"\x1b\[[0-9;]*m")
FAILURES = (CellExecutionError, CellTimeoutError, DeadKernelError)


class RunningInterpreter(AsyncKernelManager):
    """A kernel of the interpreter that runs this, whichever kernels are registered."""

    @default("kernel_spec_manager")
    def _no_registered_kernels(self) -> KernelSpecManager:
        # Without folders to look in, "python3" is ipykernel's own, on sys.executable.
        return KernelSpecManager(kernel_dirs=[])


def execute(path: Path, *, timeout: float = 300) -> NotebookNode:
    """Return a notebook with the outputs of a fresh run; the file is left as it is.

    Args:
      path: the notebook. Its folder is the kernel's working directory.
      timeout: seconds that a cell may take.

    Raises:
      CellExecutionError: a cell raised; the message holds the cell and its traceback.
      CellTimeoutError: a cell took longer than `timeout`.
    """
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as scratch:
        # Sockets in a folder, so that no port is open and none is taken by another run.
        connection = {"transport": "ipc", "connection_file": f"{scratch}/kernel.json"}
        client = NotebookClient(
            notebook,
            config=Config(RunningInterpreter=connection),
            kernel_name=KERNEL,
            kernel_manager_class=RunningInterpreter,
            timeout=timeout,
            coalesce_streams=True,
        )
        # A profile of the user's own could run code before the first cell.
        environment = os.environ | {"IPYTHONDIR": scratch}
        client.execute(cwd=str(path.parent.resolve()), env=environment)
    return clean(notebook)


def clean(notebook: NotebookNode) -> NotebookNode:
    """Remove log lines, times and versions from a notebook, in place, and return it."""
    notebook.metadata = NotebookNode(
        kernelspec=NotebookNode(display_name="Python 3", language="python", name=KERNEL),
        language_info=NotebookNode(name="python"),
    )
    for cell in notebook.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = NotebookNode(tags=tags) if tags else NotebookNode()
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    return notebook


def write(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook so that the file is at any moment either the old or the new one."""
    text = nbformat.writes(notebook) + "\n"
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as file:
        temporary = Path(file.name)
        try:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            temporary.unlink()
            raise
    temporary.chmod(path.stat().st_mode if path.exists() else 0o644)
    temporary.replace(path)


def main(argv: Sequence[str] | None = None) -> int:
    """Run every notebook of a folder in place; return 0, 1 if one fails, 2 if there are none."""
    parser = argparse.ArgumentParser(
        prog="python -m bp_lab.pages.notebooks",
        description="Run every notebook of a folder, in place.",
    )
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args(argv).folder
    paths = sorted(folder.glob("*.ipynb"))
    if not paths:
        print(f"notebooks: folder: expected .ipynb files, got none in {folder}", file=sys.stderr)
        return 2
    for path in paths:
        try:
            notebook = execute(path)
        except FAILURES as error:
            message = COLOR.sub("", str(error)).rstrip()
            print(f"{path}: failed, left as it was\n{message}", file=sys.stderr)
            return 1
        write(notebook, path)
        outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
        pictures = sum("image/png" in output.get("data", {}) for output in outputs)
        print(f"{path}: {len(notebook.cells)} cells, {pictures} pictures", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
