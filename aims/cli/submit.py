"""`aims submit RUN`: a finished run as one file, for others to check."""

from __future__ import annotations

from pathlib import Path

import click

from aims.cli._options import PATH, json_option, path_option
from aims.cli._terminal import out, print_json


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=PATH)
@path_option("--to", "Folder for the files.", "submissions")
@click.option("--weights", is_flag=True, help="Pack what was trained, too.")
@path_option("--sign", "SSH key to sign the list of files with, as ssh-keygen makes them.")
@json_option("Print files and checksums as JSON.")
def command(runs: tuple[Path, ...], to: Path, weights: bool, sign: Path | None, as_json: bool) -> None:
    """Pack finished runs, one file each, for others to check.

    A file holds the record (its command line without folders), the curve, every instance with its
    mask, the contact sheet, and a SHA-256 of each. `aims verify FILE` checks it against the dataset,
    and with --into adds the run to a folder of runs. The same run gives the same bytes. With --sign
    ssh-keygen signs these checksums, so that others can verify whose file it is.
    """
    from aims.core.files import sha256_file
    from aims.core.submissions import pack

    packed = [pack(run, to, weights=weights, key=sign) for run in runs]
    found = [
        {"file": str(path), "bytes": path.stat().st_size, "sha256": sha256_file(path)} for path in packed
    ]
    if as_json:
        print_json({"submissions": found})
        return
    for each in found:
        out.print(f"{each['file']}: {each['bytes']:,} bytes, SHA-256 {each['sha256']}", markup=False)
