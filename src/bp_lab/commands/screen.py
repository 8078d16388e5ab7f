"""A training on the terminal: a bar of its epochs under what was printed."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from jax_ref import Report


class Screen:
    """Shows how far a training is."""

    def __init__(self, console: Console, epochs: int) -> None:
        """Make ready for a training of so many epochs; nothing is shown yet."""
        self.console = console
        self.bar = Progress(
            TextColumn("epoch"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[shown]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self.task = self.bar.add_task("", total=epochs, shown="")

    def close(self) -> None:
        """Leave the terminal as it was; a bar that was never shown would leave an empty line."""
        if self.bar.live.is_started:
            self.bar.stop()

    def resumed(self, epoch: int) -> None:
        """Say after which epoch the training goes on."""
        self.console.print(f"Going on after epoch {epoch}.")
        self.bar.update(self.task, completed=epoch)

    def verdict(self, report: Report, when: str = "") -> None:
        """Print the word of a gradient check, and leave the line open."""
        color = "green" if report else "red"
        self.console.print(f"Gradient check{when}: [bold {color}]{report.verdict}[/]", end="")

    def advance(self, epoch: int, shown: str) -> None:
        """Show that an epoch is over, and what came of it."""
        self.bar.start()
        self.bar.update(self.task, completed=epoch, shown=shown)
