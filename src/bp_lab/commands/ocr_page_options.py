"""The options of `manual-bp ocr` for whole pages: read, and train-pipeline."""

from pathlib import Path
from typing import Annotated

import typer

_Weights = Annotated[
    Path | None,
    typer.Option(help="reader.npz of a run.", show_default="the one of the package"),
]
_PageWeights = Annotated[
    Path | None,
    typer.Option(help="What train-pipeline wrote.", show_default="the one of the package"),
]


def read(
    inputs: Annotated[list[Path], typer.Argument(help="Image files, and folders of them.")],
    pipeline: Annotated[
        bool, typer.Option("--pipeline", help="Cut lines into characters, and name each.")
    ] = False,
    weights: _Weights = None,
    page_weights: _PageWeights = None,
    json: Annotated[
        Path | None, typer.Option(help="Write lines, characters, boxes and confidences there.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the pictures with what was read drawn on them.")
    ] = None,
) -> None:
    """Print the text in pictures; status 2 where a file cannot be read."""
    from bp_lab.commands import ocr_read as command

    status = command.run(
        inputs, pipeline=pipeline, weights=weights, page_weights=page_weights, json=json, out=out
    )
    raise typer.Exit(status)


def train_pipeline(
    out: Annotated[Path, typer.Argument(help="The file of the weights, an .npz archive.")],
    seed: Annotated[int, typer.Option(metavar="N", help="Of pages and parameters.")] = 0,
) -> None:
    """Train what finds lines, what cuts them into characters, and what names these."""
    from bp_lab.commands import ocr_pipeline as command

    raise typer.Exit(command.train(out, seed))


def add_to(app: typer.Typer) -> None:
    """Add the commands to those of `manual-bp ocr`."""
    app.command()(read)
    app.command()(train_pipeline)
