"""The command `aims`: one file a command, imported when it is called."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from types import MappingProxyType

import click as _click  # `aims click`, once imported, is the `click` of this package

from aims.cli._terminal import WarningHandler, discard, tolerate_any_text
from aims.core.errors import AimsError, explain, unknown_name
from aims.core.faults import DEBUG, describe_fault
from aims.core.files import is_unicode
from aims.core.processes import interrupted_by_signals, share_cores
from aims.core.texts import one_line
from aims.version import __version__

#: Command -> what it does, in the order of the help page. Kept here so that help imports no torch.
COMMANDS = MappingProxyType(
    {
        "list": "List the datasets that can be converted, and those that are.",
        "info": "Count the parameters and operations of a method.",
        "init": "Describe a folder of your own data, for `aims convert folder`.",
        "convert": "Turn a raw dataset into an AIMS dataset.",
        "inspect": "Describe a dataset: streams, ranges, classes, sizes, what was dropped.",
        "view": "Draw a dataset's pictures and instances on a page for the browser.",
        "verify": "Check a dataset's format, or the scores of a run or a submission.",
        "audit": "Find near-duplicates and groups that straddle splits.",
        "export": "Write a dataset as COCO, or as a folder of pictures.",
        "weights": "Fetch a backbone's pretrained weights.",
        "pretrain": "Pretrain sam-tiny on generated scenes.",
        "run": "Train and evaluate one method on one modality.",
        "sweep": "Run what a suite is missing.",
        "watch": "Watch the runs of a folder: progress, losses, scores, memory.",
        "export-model": "Write a run's model for use without AIMS.",
        "push": "Send a dataset, a run or an exported model to the Hugging Face Hub.",
        "predict": "Predict masks for files of a trained model's sensor.",
        "click": "Click on objects in a browser, see a model's masks, and save them as a new set.",
        "evaluate": "Evaluate a run's model with more clicks, boxes and jitter.",
        "compare": "Test two runs against each other, and show where they differ.",
        "submit": "Pack finished runs, one file each, for others to check.",
        "report": "Write tables and figures from the finished runs.",
        "demo": "Convert, train, evaluate and report on two small sets, in minutes.",
        "synth": "Generate a small raw dataset to try things on.",
    }
)

_INTERRUPTED = "interrupted; what was finished is kept"


class _LazyGroup(_click.Group):
    """Knows its commands by name and imports a command's file only when it is called."""

    def list_commands(self, ctx: _click.Context) -> list[str]:
        # Not list(...): once `aims list` is imported, that name means its module here.
        return [*COMMANDS]

    def get_command(self, ctx: _click.Context, cmd_name: str) -> _click.Command | None:
        if cmd_name not in COMMANDS:
            raise unknown_name("command", cmd_name, COMMANDS)
        module = importlib.import_module(f"aims.cli.{cmd_name.replace('-', '_')}")
        command: _click.Command = module.command
        # Its function is called `command`, and so would the reference of the commands call it.
        command.name = cmd_name
        return command

    def format_commands(self, ctx: _click.Context, formatter: _click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items()])


@_click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=f"Exit code 0; 1: a failure; 2: wrong input; 70: a fault of AIMS ({DEBUG}=1 shows its traceback); "
    "130: stopped.",
)
@_click.version_option(__version__, prog_name="aims")
def cli() -> None:
    """AIMS: any image modality segmentation.

    Converts recordings of any imaging sensor, fine-tunes SAM on them, and measures the result.
    """


def main(args: Sequence[str] | None = None) -> None:
    """Runs the command line and exits.

    The exit code is 0, 1 for a failure, 2 for wrong input, 70 for a fault of AIMS, 130 when interrupted by
    Ctrl-C, SIGTERM or a closed terminal.
    """
    share_cores()
    try:
        with interrupted_by_signals():
            tolerate_any_text()
            logging.basicConfig(level=logging.WARNING, handlers=[WarningHandler()])
            code = _run(args)
    except KeyboardInterrupt:  # before a command began, or while its end was reported
        code = _fail(_INTERRUPTED, 130)
    sys.exit(code)


def _run(args: Sequence[str] | None) -> int:
    for word in sys.argv[1:] if args is None else args:
        if not is_unicode(word):
            # Neither JSON nor the libraries that read and write the files can name it.
            coding = sys.getfilesystemencoding()
            return _fail(f"{word}: not valid {coding} text; rename it, or choose another LC_ALL", 2)
    try:
        cli.main(args, prog_name="aims", standalone_mode=False)
        _flush()
    except AimsError as error:
        return _fail(str(error), error.exit_code)
    except _click.exceptions.NoArgsIsHelpError as error:
        _click.echo(error.format_message())
    except _click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f" (see `{context.command_path} --help`)" if context else ""
        return _fail(f"{error.format_message()}{hint}", 2)
    except (KeyboardInterrupt, _click.Abort) as error:
        # No command asks for input, so nobody pressed Ctrl-D.
        if isinstance(error.__cause__, EOFError):
            return _fail(describe_fault(error.__cause__), os.EX_SOFTWARE)
        return _fail(_INTERRUPTED, 130)
    except BrokenPipeError:
        # The reader of our output went away (`aims ... | head`): nothing is wrong. Python's flush at exit
        # would complain about the closed pipe.
        discard(sys.stdout)
    except SystemExit as error:
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        # click exits by itself where a pipe is closed, and only there.
        if frame.f_globals["__name__"] != "click.core":
            raise
    except MemoryError:
        return _fail("out of memory; what was finished is kept", 1)
    except OSError as error:
        # Libraries derive exceptions of their own from it, which come from no system call.
        if error.errno is None:
            return _fail(describe_fault(error), os.EX_SOFTWARE)
        return _fail(explain(_named(error)), 1)
    except Exception as error:
        return _fail(describe_fault(error), os.EX_SOFTWARE)
    return 0


def _flush() -> None:
    """Writes what is left of the output; a full disk behind it is an error with a name."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        # Python's own flush at exit would fail again.
        discard(sys.stdout)
        raise OSError(error.errno, error.strerror, "standard output") from None


def _named(error: OSError) -> OSError:
    """Returns the error with the name of the output if it was the output that could not be written."""
    try:
        _flush()
    except OSError as named:
        return named
    return error


def _fail(message: str, code: int) -> int:
    with suppress(OSError):
        _flush()
    # The reader of stderr may be gone, or the terminal.
    with suppress(OSError):
        print(f"error: {one_line(message)}", file=sys.stderr)
    return code
