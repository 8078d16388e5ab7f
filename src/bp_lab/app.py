"""The commands of `manual-bp` and their options."""

from pathlib import Path
from typing import Annotated, Any

import typer

from bp_lab.commands import ocr_options, ocr_page_options
from bp_lab.errors import InputError


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"expected a whole number, got {text!r}") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"expected a number, got {text!r}") from None


app = typer.Typer(
    name="manual-bp",
    help="Backpropagation derived and written by hand: train, check, measure.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.add_typer(ocr_options.app)
ocr_page_options.add_to(ocr_options.app)


@app.command()
def train(
    context: typer.Context,
    dataset: Annotated[
        str, typer.Argument(help="'digits', an .npz file, or a folder of IDX files.")
    ] = "digits",
    model: Annotated[str, typer.Option(help="mlp, cnn, resnet, rnn, lstm or gru.")] = "mlp",
    hidden: Annotated[
        str | None,
        typer.Option(
            help="Widths of the hidden layers, '' for none.",
            show_default="mlp 512,256; resnet none; else 128",
        ),
    ] = None,
    channels: Annotated[
        str, typer.Option(help="Of a cnn, what each convolution gives; of a resnet, each block.")
    ] = "32,64",
    activation: Annotated[
        str | None,
        typer.Option(
            help="relu, sigmoid, tanh, leaky_relu, softplus, …",
            show_default="mlp, cnn, resnet: relu; else tanh",
        ),
    ] = None,
    loss: Annotated[
        str,
        typer.Option(
            help="softmax-xent, bce, bce-probabilities, squared-error, softmax-squared-error."
        ),
    ] = "softmax-xent",
    initialiser: Annotated[
        str | None,
        typer.Option(
            help="he_normal, he_uniform, xavier_normal, uniform, zeros, …",
            show_default="mlp, cnn, resnet: he_normal; else xavier_normal",
        ),
    ] = None,
    optimizer: Annotated[str, typer.Option(help="sgd, momentum, adam or lbfgs.")] = "adam",
    learning_rate: Annotated[
        float | None,
        typer.Option(
            parser=_number, metavar="NUMBER", help="Step size.", show_default="by optimizer"
        ),
    ] = None,
    weight_decay: Annotated[
        float | None,
        typer.Option(
            parser=_number,
            metavar="NUMBER",
            help="λ of the penalty λ/2 Σ W².",
            show_default="mlp, cnn, resnet: 1e-4; else 0",
        ),
    ] = None,
    batch_size: Annotated[str, typer.Option(help="Samples in a batch: 32, 1, full, …")] = "32",
    epochs: Annotated[
        int, typer.Option(parser=_whole, metavar="N", help="Visits of the training part.")
    ] = 40,
    seed: Annotated[
        int, typer.Option(parser=_whole, metavar="N", help="Of parameters and order of samples.")
    ] = 0,
    dtype: Annotated[
        str, typer.Option(help="Of parameters and optimizer: float32, float64, bfloat16, float16.")
    ] = "float32",
    precision: Annotated[
        str | None,
        typer.Option(
            help="What the model computes in while it is trained: bfloat16, float16, …",
            show_default="that of --dtype",
        ),
    ] = None,
    engine: Annotated[
        str, typer.Option(help="manual: gradients by hand; autodiff: jax.grad, to compare.")
    ] = "manual",
    check: Annotated[
        str, typer.Option(help="When gradients are checked: first, never or every:N epochs.")
    ] = "first",
    out: Annotated[
        Path | None, typer.Option(help="Run folder.", show_default="the next free one of runs/")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the run in --out, from any directory; name DATASET if it moved.",
        ),
    ] = False,
) -> None:
    """Train a digit classifier whose every gradient is written by hand, checked first."""
    from bp_lab.commands import train as command

    settings = {
        "dataset": dataset,
        "model": model,
        "hidden": None if hidden is None else _widths("--hidden", hidden),
        "channels": _widths("--channels", channels),
        "activation": activation,
        "loss": loss,
        "initialiser": initialiser,
        "optimizer": optimizer,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "batch_size": _batch_size(batch_size),
        "epochs": epochs,
        "seed": seed,
        "dtype": dtype,
        "precision": precision,
        "engine": engine,
        "check": check,
    }
    typed = {name for name in settings if _was_typed(context, name)}
    raise typer.Exit(command.run(settings, typed, out, resume=resume))


@app.command()
def check(
    rule: Annotated[
        str | None,
        typer.Argument(
            help="package.module:rule, a custom_vjp function or an op; or a pair, as "
            "package.module:forward,backward. Without it, every op of the catalogue.",
            show_default=False,
        ),
    ] = None,
    args: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:NAME", help="Of a rule: a tuple of arguments, or what returns one."
        ),
    ] = None,
    primal: Annotated[
        str | None,
        typer.Option(metavar="MODULE:NAME", help="Of a rule: the same function without the rule."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of a rule: its name in the report.")] = None,
    op: Annotated[
        list[str] | None, typer.Option(help="Only cases whose name contains this; repeatable.")
    ] = None,
    dtype: Annotated[
        list[str] | None,
        typer.Option(help="Only this dtype; a rule's arguments are cast to it; repeatable."),
    ] = None,
    level: Annotated[
        str, typer.Option(help="fast, or full for every witness and transformation.")
    ] = "fast",
    seed: Annotated[
        int, typer.Option(parser=_whole, metavar="N", help="Of inputs, cotangents and directions.")
    ] = 0,
    json: Annotated[Path | None, typer.Option(help="Write the result there as well.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the result there as a page.")] = None,
) -> None:
    """Hold hand-written backward passes, ours or yours, against jax.grad and finite differences."""
    from bp_lab.commands import check as command

    status = command.run(
        rule,
        args,
        primal,
        name,
        ops=op or [],
        dtypes=dtype or [],
        level=level,
        seed=seed,
        json=json,
        html=html,
    )
    raise typer.Exit(status)


@app.command()
def mutants(
    op: Annotated[
        list[str] | None, typer.Argument(help="Only what these ops reach.", show_default="all")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(parser=_whole, metavar="N", help="Processes.", show_default="one a core"),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the result there as well.")] = None,
) -> None:
    """Put one mistake at a time into every backward pass, and list what no case notices."""
    from bp_lab.commands import mutants as command

    raise typer.Exit(command.run(op or [], workers, json))


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    images: Annotated[list[Path], typer.Argument(help="Image files, one digit each.")],
) -> None:
    """Read digits in image files with the network of a run."""
    from bp_lab.commands import predict as command

    raise typer.Exit(command.run(run, images))


@app.command()
def bench(
    name: Annotated[
        list[str] | None,
        typer.Argument(
            help="Only ops and models whose name contains this; or checker: the cost of a check.",
            show_default="all",
        ),
    ] = None,
    kind: Annotated[
        list[str] | None, typer.Option(help="Only op, or only model; repeatable.")
    ] = None,
    dtype: Annotated[
        list[str] | None,
        typer.Option(help="float32, bfloat16, …; repeatable.", show_default="float32"),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer runs, of wider spread.")] = False,
    pairs: Annotated[
        int | None,
        typer.Option(
            parser=_whole,
            metavar="N",
            help="How often each pair is timed.",
            show_default="as time allows, 5 to 40",
        ),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the result there as well.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw it there, as a PNG.")] = None,
    compare: Annotated[
        Path | None,
        typer.Option(metavar="OLD.json", help="What --json wrote; status 1 where it was better."),
    ] = None,
    scaling: Annotated[
        bool,
        typer.Option(
            "--scaling",
            help="How time and memory grow with batch, width, depth, sequence length and window.",
        ),
    ] = False,
) -> None:
    """Time every op and model beside jax.grad and PyTorch; or a check beside check_grads."""
    from bp_lab.commands import bench as command

    status = command.run(
        name or [],
        kinds=kind or [],
        dtypes=dtype or [],
        quick=quick,
        pairs=pairs,
        json=json,
        plot=plot,
        old=compare,
        scaling=scaling,
    )
    raise typer.Exit(status)


@app.command()
def experiment(
    name: Annotated[
        str,
        typer.Argument(
            help="vanishing-gradients, symmetry, batch-norm, normalised-rnn or reading-engines."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for picture and figures.")] = Path(),
    seed: Annotated[
        int, typer.Option(parser=_whole, metavar="N", help="Of parameters and data.")
    ] = 0,
) -> None:
    """Run a small seeded experiment and draw its effect."""
    from bp_lab.commands import experiment as command

    raise typer.Exit(command.run(name, out, seed))


def _widths(option: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(width) for width in text.split(",") if text)
    except ValueError:
        expected = "whole numbers between commas, as 256,128"
        raise InputError("train", option, expected, repr(text)) from None


def _batch_size(text: str) -> int | str:
    try:
        return int(text)
    except ValueError:
        return text


def _was_typed(context: typer.Context, name: str) -> bool:
    source: Any = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
