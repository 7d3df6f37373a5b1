"""`completion`: what a shell needs to complete commands, options and their choices."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from gradiend_mlflow.commands.choices import SHELLS
from gradiend_mlflow.commands.options import example
from gradiend_mlflow.errors import InvalidInputError

PROGRAM = "gradiend-mlflow"


@click.command(
    "completion",
    short_help="Print the script for a shell's completion.",
    epilog=example(
        f"{PROGRAM} completion bash >> ~/.bashrc",
        f"{PROGRAM} completion zsh >> ~/.zshrc",
        f"{PROGRAM} completion fish > ~/.config/fish/completions/{PROGRAM}.fish",
    ),
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion_command(context: click.Context, shell: str) -> None:
    """Print the script that makes a shell complete this program's commands, options and choices."""
    made = get_completion_class(shell)
    if made is None:
        raise InvalidInputError(f"this version of click completes nothing in {shell}")
    click.echo(made(context.find_root().command, {}, PROGRAM, "_GRADIEND_MLFLOW_COMPLETE").source())
