"""Options that several commands share, and options generated from settings and registries."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from aims.api import DATA, RUNS
from aims.cli._names import Name
from aims.core.config import NO_TUNING
from aims.core.errors import InputError, unknown_name
from aims.core.settings import Setting
from aims.core.vocabulary import TRACKERS

if TYPE_CHECKING:
    from aims.prediction.inputs import InputRules

#: Context settings of commands that take options of methods and tunings, which click leaves in `ctx.args`.
OPEN = {"ignore_unknown_options": True, "allow_extra_args": True}


class FileOrFolder(click.Path):
    """A path. An empty string is refused: it is most often a variable of the shell that is not set."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Returns the path."""
        if value == "":
            self.fail("is empty; give a path, or . for the current folder", param, ctx)
        return super().convert(value, param, ctx)


class Place(FileOrFolder):
    """A path, or `hf://OWNER/NAME`, which is fetched: the value is its folder in the cache.

    Args:
        kind: "model" or "dataset", what the reference names where it does not say so itself.
    """

    def __init__(self, kind: Literal["model", "dataset"]) -> None:
        super().__init__()
        self.kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Returns the path."""
        # Imported here: few commands are given a reference.
        from aims.data.hub import is_reference, local_folder

        if isinstance(value, str) and is_reference(value):
            return local_folder(value, self.kind)
        return super().convert(value, param, ctx)


#: Type of an option or argument that is a file or a folder.
PATH = FileOrFolder()
#: Types of an argument that is a run or a model, and of one that is a dataset, here or on the Hub.
MODEL, DATASET = Place("model"), Place("dataset")
#: Type of click's decorators. `Any`, as they take a function or the command that another one returned.
Decorator = Callable[[Any], Any]


def path_option(
    flag: str, text: str, default: str | Path | None = None, name: str | None = None, kind: click.Path = PATH
) -> Decorator:
    """Declares an option that takes a path; `name` is the parameter's name if not derived from the flag."""
    return click.option(
        *filter(None, (flag, name)),
        type=kind,
        default=None if default is None else Path(default),
        show_default=default is not None,
        help=text,
    )


def data_option(text: str = "A converted folder, or a folder of several.") -> Decorator:
    """Declares `--data`, the converted datasets."""
    return path_option("--data", text, DATA, kind=DATASET)


def runs_option() -> Decorator:
    """Declares `--runs`, the folder of runs."""
    return path_option("--runs", "Folder of runs.", RUNS)


def trust_option() -> Decorator:
    """Declares `--trust`, which leaves the verification of the dataset out."""
    return click.option("--trust", is_flag=True, help="Take the dataset as it is, without `aims verify`.")


def track_option() -> Decorator:
    """Declares `--track`, an experiment tracker."""
    return click.option(
        "--track",
        type=click.Choice(TRACKERS),
        help="Tell an experiment tracker of losses, scores and pictures (extra `tracking`).",
    )


def weights_option() -> Decorator:
    """Declares `--weights`, the file that a finished run started from."""
    return path_option(
        "--weights", "The pretrained weights that the run started from.  [default: found by their checksum]"
    )


def device_option() -> Decorator:
    """Declares `--device`."""
    return click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")


def json_option(text: str = "Print everything as JSON.") -> Decorator:
    """Declares `--json`, as the parameter `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help=text)


def source_options() -> Decorator:
    """Declares what of FILES is taken: `--split`, `--stream` and `--variable` (in plural), `--channels`."""

    def add(command: Any) -> Any:
        for option in (
            click.option(
                "--channels", metavar="N,...", help="Channels of the files to take, from 0.  [default: all]"
            ),
            click.option(
                "--variable",
                "variables",
                multiple=True,
                metavar="[STREAM=]NAME",
                help="The array of npz, .mat and HDF5 files.",
            ),
            click.option(
                "--stream",
                "streams",
                multiple=True,
                metavar="NAME=PATTERN",
                help="Files of each of several streams.",
            ),
            click.option("--split", help="Of a converted dataset.  [default: all]"),
        ):
            command = option(command)
        return command

    return add


def parse_streams(given: tuple[str, ...]) -> dict[str, str] | None:
    """Reads the values of `--stream`. Raises InputError for one that is no NAME=PATTERN."""
    patterns = {}
    for text in given:
        name, equals, pattern = text.partition("=")
        if not equals or not pattern:
            raise InputError(f"--stream {text}: give NAME=PATTERN, e.g. depth='depth/{{id}}.png'")
        patterns[name] = pattern
    return patterns or None


def parse_variables(given: tuple[str, ...], rules: InputRules) -> dict[str, str]:
    """Reads the values of `--variable`, by stream.

    Args:
        given: "NAME", for a model of one stream, or "STREAM=NAME".
        rules: rules of the model, which say its streams.

    Raises:
        InputError: a stream is unknown, has two variables, or has to be named.
    """
    streams, variables = [*rules.streams], dict[str, str]()
    for text in given:
        stream, _, name = text.rpartition("=")
        if not name or (not stream and len(streams) > 1):
            raise InputError(f"--variable {text}: give STREAM=NAME, e.g. {streams[0]}=camera/{streams[0]}")
        stream = stream or streams[0]
        if stream not in rules.sources:
            raise unknown_name("stream", stream, rules.sources, where=f"--variable {text}")
        if stream in variables:
            raise InputError(f"--variable {text}: {stream} has {variables[stream]!r} already")
        variables[stream] = name
    return variables


def parse_channels(text: str | None) -> tuple[int, ...] | None:
    """Reads the value of `--channels`. Raises InputError for one that is no list of numbers."""
    if text is None:
        return None
    try:
        chosen = tuple(int(number) for number in text.split(","))
    except ValueError:
        raise InputError(f"--channels {text}: give numbers such as 0 or 0,1,2") from None
    if min(chosen) < 0:
        raise InputError(f"--channels {text}: channels are counted from 0")
    return chosen


def setting_options(settings: Mapping[str, Setting], types: Mapping[str, click.ParamType[Any]]) -> Decorator:
    """Declares an option for every setting.

    Args:
        settings: `aims.core.config.SETTINGS`, or some of them.
        types: click types by setting, where the command line spells values differently from a record.
    """

    def add(command: Any) -> Any:
        # Reversed, as stacked decorators are applied from the last to the first: keeps the order of the help.
        for setting in reversed([*settings.values()]):
            command = click.option(
                f"--{setting.option}",
                type=types.get(setting.name) or _type_of(setting),
                required=setting.required,
                # click would take None as a default, even for a required option.
                **({} if setting.default is None else {"default": setting.default, "show_default": True}),
                metavar=setting.metavar or None,
                help=setting.help,
            )(command)
        return command

    return add


def _type_of(setting: Setting) -> Any:
    if not (setting.registered or setting.choices):
        return setting.kind
    # What methods without training or model have is right or wrong by the method.
    others = [value for value in (NO_TUNING, setting.modelless) if isinstance(value, str)]
    return Name(setting.name, setting.choices or None, others)


class RegistryCommand(click.Command):
    """A command whose help page lists the methods and tunings that are registered, with their options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Reads the command line; of a misspelt option it says so, and not that the option is missing."""
        given = [*args]
        try:
            return super().parse_args(ctx, args)
        except click.MissingParameter:
            values, rest, _ = self.make_parser(ctx).parse_args(given)
            missing = [each.opts[0] for each in self.params if each.required and each.name not in values]
            for word in rest:
                option = word.partition("=")[0]
                if option.startswith("--") and (near := difflib.get_close_matches(option, missing, n=1)):
                    raise _no_such_option(option, near, ctx) from None
            raise

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the lists of methods and tunings, then the command's own epilog."""
        # Imported here: torch takes seconds, and no other help page needs it.
        from aims.methods import METHODS, TUNINGS, has_model

        learned = {name: entry for name, entry in METHODS.items() if has_model(name)}
        sections: dict[str, Mapping[str, type[Any]]] = {
            "Methods": learned,
            "Floors, without sensor and model, to read the others against": {
                name: entry for name, entry in METHODS.items() if name not in learned
            },
            "Tunings": TUNINGS,
        }
        for title, entries in sections.items():
            with formatter.section(title):
                formatter.write_dl([(name, _described(entry)) for name, entry in entries.items()])
        super().format_epilog(ctx, formatter)


def _described(entry: type[Any]) -> str:
    """Returns the summary of a method or a tuning with its options and their defaults."""
    from aims.methods import option_defaults

    options = option_text(option_defaults(entry))
    return f"{summary(entry)}" + (f"  [{options}]" if options else "")


def option_text(options: Mapping[str, object]) -> str:
    """Formats options as on the command line: "--kernel 3 --width 64"."""
    return " ".join(
        f"--{name.replace('_', '-')} {'none' if value is None else value}" for name, value in options.items()
    )


def summary(entry: type[Any]) -> str:
    """Returns the first line of a class's docstring."""
    return (inspect.getdoc(entry) or "").partition("\n")[0]


def extra_options(ctx: click.Context) -> dict[str, str]:
    """Reads the options of methods and tunings, `--name value` or `--name=value`.

    Args:
        ctx: context of a command with `--method` and `--tuning`; click leaves unknown options in `ctx.args`.

    Returns:
        Unparsed values by option name, with underscores for hyphens; the registries parse and check them.

    Raises:
        click.UsageError: a word is no option, or an option has no value, is given twice, or belongs to no
            method and no tuning.
        InputError: an option of the method or the tuning has the name of one of the command's own.
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
    _require_free_names(ctx)
    return found


def _require_free_names(ctx: click.Context) -> None:
    # Imported here: torch takes seconds.
    from aims.methods import default_tuning, require_free_names

    method, tuning = ctx.params["method"], ctx.params["tuning"]
    if method is not None:
        flags = [flag for parameter in ctx.command.get_params(ctx) for flag in parameter.opts]
        own = {flag.removeprefix("--").replace("-", "_") for flag in flags}
        tuning = default_tuning(method, pretrained=True) if tuning is None else tuning
        require_free_names(method, tuning, own, f"`{ctx.command_path}`")


def _require_known(ctx: click.Context, option: str, name: str) -> None:
    # Imported here: torch takes seconds.
    from aims.methods import all_options

    if name in all_options():
        return
    own = [flag for parameter in ctx.command.params for flag in parameter.opts]
    others = [f"--{known.replace('_', '-')}" for known in all_options()]
    raise _no_such_option(option, difflib.get_close_matches(option, [*own, *others], n=1), ctx)


def _no_such_option(option: str, near: list[str], ctx: click.Context) -> click.UsageError:
    hint = f"; did you mean {near[0]}?" if near else ""
    return click.UsageError(f"no such option: {option}{hint}", ctx)
