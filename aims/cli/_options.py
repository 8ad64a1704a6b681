"""Options of methods and tunings on the command line: those that a command does not know itself."""

from __future__ import annotations

import difflib

import click

#: For commands that take them: what is unknown to the command lands in `ctx.args`.
SETTINGS = {"ignore_unknown_options": True, "allow_extra_args": True}


def extra_options(ctx: click.Context) -> dict[str, str]:
    """Reads `--name value` and `--name=value` from what the command did not know.

    Returns:
        Values by name, as words, with underscores for hyphens; the registries check them.

    Raises:
        click.UsageError: a word that is no option, an option without a value, twice the same, or one that
            no method and no tuning has.
    """
    found: dict[str, str] = {}
    words = iter(ctx.args)
    for word in words:
        if not word.startswith("--"):
            raise click.UsageError(f"unexpected argument {word!r}", ctx)
        option, equals, value = word.partition("=")
        name = option.removeprefix("--").replace("-", "_")
        _require_known(ctx, option, name)
        if not equals:
            value = next(words, "--")
        if not value or value.startswith("--"):
            raise click.UsageError(f"option {option} needs a value", ctx)
        if name in found:
            raise click.UsageError(f"option {option} is given twice", ctx)
        found[name] = value
    return found


def _require_known(ctx: click.Context, option: str, name: str) -> None:
    # Imported here: torch takes seconds.
    from aims.methods import all_options

    if name in all_options():
        return
    own = [flag for parameter in ctx.command.params for flag in parameter.opts]
    others = [f"--{known.replace('_', '-')}" for known in all_options()]
    near = difflib.get_close_matches(option, [*own, *others], n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise click.UsageError(f"no such option: {option}{hint}", ctx)
