"""`aims push`: a dataset, a run or an exported model to the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path

import click

from aims.cli._options import PATH, json_option
from aims.cli._terminal import err, out, print_json

_EPILOG = """
\b
`hf auth login` once, before. The files are sent first and named by one commit at the end, so that nobody
reads a part of them; the same command goes on after a stop, and what the Hub holds is not sent again.
What was pushed is read as hf://OWNER/NAME (a branch, tag or commit: hf://OWNER/NAME@REVISION) wherever a
run, a model or a dataset is read; where both may be given, a dataset is hf://datasets/OWNER/NAME.
"""


@click.command(epilog=_EPILOG)
@click.argument("folder", type=PATH)
@click.argument("repository", metavar="OWNER/NAME")
@click.option("--revision", help="Branch to push to; made unless it is there.  [default: main]")
@click.option("--public", is_flag=True, help="Make a new repository public; it is private otherwise.")
@click.option(
    "--despite-licence",
    "despite_license",
    is_flag=True,
    help="Send recordings that may not be passed on, to a private repository of your own.",
)
@json_option("Print what was sent as JSON.")
def command(
    folder: Path, repository: str, revision: str | None, public: bool, despite_license: bool, as_json: bool
) -> None:
    """Send a dataset, a run or an exported model to the Hugging Face Hub.

    FOLDER is what `aims convert`, `aims run` or `aims export-model` wrote. A dataset is not sent where its
    licence is not known to let others pass it on.
    """
    # Imported here: they are not needed for the help page.
    from aims.data.hub import parse_reference
    from aims.data.push import parcel_of, push

    parcel = parcel_of(folder)
    asked = parse_reference(repository, parcel.kind)
    parcel.require_kind(asked)
    result = push(
        parcel,
        asked.name,
        revision=revision or asked.revision,
        public=public,
        despite_license=despite_license,
    )
    if as_json:
        files = [*parcel.files, *parcel.texts]
        print_json({"repository": str(result.repository), "commit": result.commit, "files": files})
        return
    for line in parcel.left_out:
        err.print(f"left out: {line}", markup=False, soft_wrap=True)
    out.print(f"{folder}  ->  {result.repository}", markup=False)
    out.print(result.commit, markup=False)
