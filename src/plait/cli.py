"""The command ``plait``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line."""
    try:
        import typer
    except ImportError:
        sys.exit("The command line needs typer: pip install 'plait[cli]'")

    app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)

    @app.callback()
    def root() -> None:
        """Build and train neural networks as graphs of layers."""

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

    app()


if __name__ == "__main__":
    main()
