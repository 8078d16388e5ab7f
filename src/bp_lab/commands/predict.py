"""`manual-bp predict`."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bp_lab.data import read_images
from bp_lab.runs.predict import load_network


def run(run_folder: Path, images: Sequence[Path]) -> int:
    """Print the class read in each image file, and the confidence in it."""
    network = load_network(run_folder)
    classes, confidence = network(read_images(images, network.image_shape))
    table = Table("image", "read as", "confidence")
    for path, label, sure in zip(images, classes, confidence, strict=True):
        table.add_row(str(path).replace("[", r"\["), str(label), f"{100 * sure:.1f} %")
    Console(highlight=False).print(table)
    return 0
