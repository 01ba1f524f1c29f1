"""``lash completion``: the script that teaches a shell to complete."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_HINTS = {
    "bash": 'eval "$(lash completion bash)"   # in ~/.bashrc',
    "zsh": 'eval "$(lash completion zsh)"   # in ~/.zshrc',
    "fish": "lash completion fish > ~/.config/fish/completions/lash.fish",
}


@click.command("completion", epilog="  ".join(f"{shell}: {hint}" for shell, hint in _HINTS.items()))
@click.argument("shell", type=click.Choice(tuple(_HINTS)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of SHELL."""
    completer = get_completion_class(shell)
    if completer is None:
        raise click.UsageError(f"no completion for {shell}")
    click.echo(completer(context.find_root().command, {}, "lash", "_LASH_COMPLETE").source())
