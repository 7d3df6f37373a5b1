"""Writes docs/cli.md from the commands themselves: `python docs/make_cli.py`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

import click

from gradiend_mlflow.cli import main

PROGRAM = "gradiend-mlflow"
PAGE = Path(__file__).with_name("cli.md")
HEAD = """# The command line

{about}

Every command is one public function of the package, and its options have the names of the function's arguments.
Tables are for people and may change; `--format json` and `--format csv` are for other programs. Without
`--tracking-uri` the address is MLflow's current one: what the environment variable `MLFLOW_TRACKING_URI` says, else
`mlflow.db` in the working directory. A command that only reads creates nothing there.

Written by `docs/make_cli.py`; `{program} COMMAND --help` prints the same.

| command | what |
| --- | --- |
"""
FUNCTIONS = {
    "runs": "search_runs",
    "show": "describe_run",
    "ui": "ui_page",
    "compare": "compare",
    "comparisons": "search_comparisons",
    "plot": "load_comparison",
    "import": "import_runs",
    "sync": "sync",
    "log": "log_topk",
    "export": "export_run",
    "export-dataset": "export_dataset",
    "verify": "verify_runs",
    "cache info": "cache_info",
    "cache prune": "prune_cache",
    "cache clear": "clear_cache",
}


def page() -> str:
    """The text of docs/cli.md."""
    found = dict(commands(main))
    listed = "".join(f"| [{name}](#{name.replace(' ', '-')}) | {cell(short(one))} |\n" for name, one in found.items())
    head = HEAD.format(about=paragraphs(main), program=PROGRAM)
    return head + listed + "".join(section(name, one) for name, one in found.items())


def commands(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command that can be typed, by its name."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} ")
        else:
            yield before + name, command


def section(name: str, command: click.Command) -> str:
    """What one command does, an example, its arguments and options."""
    examples = "\n".join(line.strip() for line in (command.epilog or "").splitlines()[2:])
    arguments = " ".join(one.make_metavar(click.Context(command)) for one in command.params if is_argument(one))
    usage = " ".join(filter(None, [PROGRAM, name, "[OPTIONS]", arguments]))
    function = f"In Python: `{FUNCTIONS[name]}`.\n\n" if name in FUNCTIONS else ""
    rows = "".join(option(one, command) for one in command.params if isinstance(one, click.Option))
    table = f"\n| option | what |\n| --- | --- |\n{rows}" if rows else ""
    return f"\n## {name}\n\n`{usage}`\n\n{paragraphs(command)}\n\n{function}```sh\n{examples}\n```\n{table}"


def option(one: click.Option, command: click.Command) -> str:
    """A row of the table of options."""
    names = ", ".join(f"`{name}`" for name in one.opts)
    taken = "" if one.is_flag else f" {one.make_metavar(click.Context(command))}"
    said = " ".join((one.help or "").split())
    if one.required:
        said += " Required."
    # That there is none, click says with None, and since 8.3 with a member of an Enum.
    elif one.show_default and one.default is not None and not isinstance(one.default, Enum):
        default = ", ".join(one.default) if isinstance(one.default, (tuple, list)) else one.default
        said += f" Default {default}."
    choices = "" if not isinstance(one.type, click.Choice) else " One of " + ", ".join(one.type.choices) + "."
    if choices:
        taken = ""
    return f"| {names}{cell(taken)} | {cell(said + choices)} |\n"


def is_argument(one: click.Parameter) -> bool:
    """Whether it is given without a name."""
    return isinstance(one, click.Argument)


def short(command: click.Command) -> str:
    """The command in a line."""
    return command.get_short_help_str(limit=100)


def paragraphs(command: click.Command) -> str:
    """What a command says that it does, without the breaks of lines."""
    text = inspect.cleandoc(command.help or "")
    return "\n\n".join(" ".join(one.split()) for one in text.split("\n\n"))


def cell(text: str) -> str:
    """Text in a table of Markdown; what brackets hold are defaults."""
    return re.sub(r"\s*\[default: (.*)\]", r" Default: \1.", text).replace("|", "\\|").replace("***", "`***`")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
