"""The commands `lsp` and `completion`."""

from __future__ import annotations

from importlib.util import find_spec

import click

from .asking import Explain, Page

SHELLS = ("bash", "zsh", "fish")
A_FILE = click.Path(readable=False)  # so that shells complete the names of files; whether it is there is told when it is opened


def topics_like(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """The topics of `probrun help` that begin as what was typed: for shells."""
    from ..dsl.reading.words import words

    group = context.find_root().command
    names = [*(group.commands if isinstance(group, click.Group) else ()), *(word for kind in words().values() for word in kind)]
    return [name for name in names if name.startswith(begun)]


def lsp_command(version: str, explain: Explain, page: Page) -> click.Command:
    """`probrun lsp`."""

    @click.command("lsp")
    @click.option("--stdio", is_flag=True, help="Speak over standard input and output (the only way, and the default).")
    def lsp(stdio: bool) -> int:
        """The language server, for editors.

        Problems as one types, help, estimators, formatting, names, completion. docs/editor.md says how editors start it.
        """
        if find_spec("pygls") is None or find_spec("lsprotocol") is None:
            raise click.UsageError("the language server needs pygls; type: pip install 'probrun[lsp]'")
        from .server import make_server

        make_server(version, explain, page).start_io()
        return 0

    return lsp


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion_command(context: click.Context, shell: str) -> int:
    """The script that completes commands in bash, zsh or fish.

    For example: eval "$(probrun completion bash)"
    """
    from click.shell_completion import get_completion_class

    form = get_completion_class(shell)
    assert form is not None
    script = form(context.find_root().command, {}, "probrun", "_PROBRUN_COMPLETE").source()
    click.echo(script)
    return 0
