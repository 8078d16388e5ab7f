"""The options of `manual-bp ocr`, which reads text in pictures."""

from pathlib import Path
from typing import Annotated, Any

import typer

from bp_lab.errors import InputError

app = typer.Typer(
    name="ocr",
    help="Reading text in pictures: train the reader, measure it.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@app.command()
def train(
    context: typer.Context,
    epochs: Annotated[int, typer.Option(help="How often new lines are drawn.")] = 40,
    lines: Annotated[int, typer.Option(help="Drawn for an epoch, and visited twice.")] = 2048,
    batch_size: Annotated[int, typer.Option(help="Lines in a batch.")] = 32,
    channels: Annotated[str, typer.Option(help="Of the four convolutions.")] = "16,32,64,96",
    hidden: Annotated[int, typer.Option(help="Width of the LSTM's state each way.")] = 128,
    learning_rate: Annotated[float, typer.Option(help="Adam's largest step size.")] = 2e-3,
    seed: Annotated[int, typer.Option(help="Of parameters and lines.")] = 0,
    engine: Annotated[
        str, typer.Option(help="manual: gradients by hand; autodiff: jax.grad, to compare.")
    ] = "manual",
    check: Annotated[str, typer.Option(help="Gradients are checked first, or never.")] = "first",
    out: Annotated[
        Path | None, typer.Option(help="Run folder.", show_default="the next free one of runs/")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
) -> None:
    """Train the reader of lines with hand-written gradients, checked first."""
    from bp_lab.commands import ocr as command

    settings = {
        "epochs": epochs,
        "lines": lines,
        "batch_size": batch_size,
        "channels": _channels(channels),
        "hidden": hidden,
        "learning_rate": learning_rate,
        "seed": seed,
        "engine": engine,
        "check": check,
    }
    typed = {name for name in settings if _was_typed(context, name)}
    raise typer.Exit(command.run_train(settings, typed, out, resume))


@app.command()
def evaluate(
    weights: Annotated[
        Path | None,
        typer.Option(help="reader.npz of a run.", show_default="the one of the package"),
    ] = None,
    lines: Annotated[int, typer.Option(help="Drawn for each kind.")] = 512,
    beam: Annotated[int, typer.Option(help="Texts followed at a time; 0 for greedy search.")] = 8,
    pages: Annotated[
        int,
        typer.Option(help="Drawn for each kind, to see which step of reading a page loses most."),
    ] = 0,
    json: Annotated[Path | None, typer.Option(help="Write the result there as well.")] = None,
) -> None:
    """Read lines, and pages, that the training never saw, and count the characters misread."""
    from bp_lab.commands import ocr as command

    raise typer.Exit(command.run_evaluate(weights, lines, beam, json, pages))


def _channels(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(one) for one in text.split(","))
    except ValueError:
        expected = "whole numbers between commas, as 16,32,64,96"
        raise InputError("ocr train", "--channels", expected, repr(text)) from None


def _was_typed(context: typer.Context, name: str) -> bool:
    source: Any = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
