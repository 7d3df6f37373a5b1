"""`gradiend-mlflow`: the commands together, and how they end."""

from __future__ import annotations

import logging
from typing import Any

import click

from gradiend_mlflow.commands.completion import completion_command
from gradiend_mlflow.commands.keeping import cache_group, export_command, export_dataset_command, verify_command
from gradiend_mlflow.commands.listing import runs_command, show_command, ui_command
from gradiend_mlflow.commands.options import example
from gradiend_mlflow.commands.questions import compare_command, comparisons_command, plot_command
from gradiend_mlflow.commands.sending import import_command, log_command, sync_command
from gradiend_mlflow.errors import GradiendMLflowError
from gradiend_mlflow.wording import visible


class _Commands(click.Group):
    """Commands whose expected errors are one text without a traceback, and in the order in which they are added."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except GradiendMLflowError as error:
            raise click.ClickException(str(error)) from error
        except BrokenPipeError:
            raise  # click's business: whoever reads has read enough
        except OSError as error:
            raise click.ClickException(visible(f"{error.strerror or error}: {error.filename or ''}")) from error

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The names of the commands."""
        return list(self.commands)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=example("gradiend-mlflow runs --all-experiments"),
)
@click.version_option(package_name="gradiend-mlflow")
def main() -> None:
    """Experiment tracking for GRADIEND with MLflow.

    Results are printed to stdout, everything else to stderr. The exit code is 0 if all was done, 1 if something
    failed, was not found or is damaged, and 2 if the command was not understood.
    """
    logging.basicConfig(level=logging.ERROR, format="%(message)s")  # the commands print what users need


for _command in (
    *(runs_command, show_command, ui_command),
    *(compare_command, comparisons_command, plot_command),
    *(import_command, sync_command, log_command),
    *(export_command, export_dataset_command, verify_command, cache_group, completion_command),
):
    main.add_command(_command)
