"""What the command ``plait`` can do."""

from __future__ import annotations

import pathlib
from typing import Annotated, Literal

import typer

ModelFile = Annotated[pathlib.Path, typer.Argument(help="a .keras, .h5 or .json file")]

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def root() -> None:
    """Build and train neural networks as graphs of layers."""


@app.command()
def summary(
    file: Annotated[
        pathlib.Path, typer.Argument(help="a model, its weights, an .onnx or a .stablehlo")
    ],
    nested: Annotated[bool, typer.Option("--nested", help="show layers of models within")] = False,
) -> None:
    """Show what is in a file: layers, shapes, parameters, cost; or arrays; or inputs."""
    from plait.cli.files import summarize

    summarize(file, nested)


@app.command()
def plot(
    file: ModelFile,
    out: Annotated[
        pathlib.Path | None, typer.Argument(help=".html, .svg, .png or .dot; default: .html")
    ] = None,
    theme: Annotated[
        Literal["light", "dark"] | None, typer.Option(help="default: the reader's")
    ] = None,
) -> None:
    """Draw the model in a file."""
    from plait.cli.files import opened

    target = out or pathlib.Path(f"{file.name.partition('.')[0]}.html")
    typer.echo(opened(file).plot(target, theme=theme))


@app.command()
def diff(
    before: ModelFile,
    after: ModelFile,
    plot: Annotated[
        pathlib.Path | None, typer.Option(help="draw both there: .html, .svg, .png or .dot")
    ] = None,
) -> None:
    """Say what differs between the models in two files."""
    from plait.cli.files import opened
    from plait.view.difference import diff as compared

    found = compared(opened(before), opened(after))
    typer.echo(found)
    if plot is not None:
        typer.echo(found.plot(plot))


@app.command()
def check(
    file: ModelFile,
    ignore: Annotated[
        list[str] | None, typer.Option(help="the name of a finding to leave out")
    ] = None,
) -> None:
    """Look for mistakes of architecture; the exit code is 1 if there are any."""
    from plait.cli.files import opened
    from plait.view.lint import check as checked

    findings = checked(opened(file), ignore=ignore or ())
    for finding in findings:
        typer.echo(finding)
    if findings:
        raise typer.Exit(1)
    typer.echo("nothing found")


@app.command()
def convert(
    source: ModelFile, target: Annotated[pathlib.Path, typer.Argument(help="what to write")]
) -> None:
    """Write a model in another format; the ending says which.

    To .keras, .json, .weights.h5, .safetensors, .onnx, .stablehlo, or .py: source that builds the
    graph.
    """
    from plait.cli.files import convert as converted

    typer.echo(converted(source, target))


@app.command()
def demo() -> None:
    """Train three networks on real data and print their test accuracies."""
    from plait import demo as demonstration

    demonstration.main()


@app.command()
def doctor() -> None:
    """Say what plait runs on here: devices, versions, kernels, what could be installed."""
    from plait import doctor as examination

    examination.main()


@app.command()
def version() -> None:
    """Print the version."""
    import plait

    typer.echo(plait.__version__)
