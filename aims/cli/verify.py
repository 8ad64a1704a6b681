"""`aims verify FOLDER`: every promise of the dataset format, checked."""

from __future__ import annotations

from pathlib import Path

import click

from aims.cli._terminal import out, print_json, progress_bar
from aims.core.errors import AimsError


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def command(folder: Path, as_json: bool) -> None:
    """Check every promise of a dataset's format.

    Looks at schema, checksums, fingerprint, instances, clicks and splits. Names every failure
    with file, row and column; the exit code is 1 if there is one.
    """
    from aims.data.read import Dataset
    from aims.data.verify import verify_dataset

    images = sum(entry["images"] for entry in Dataset.open(folder).manifest["files"].values())
    with progress_bar() as progress:
        task = progress.add_task("verify", total=images, note="", unit="images")
        problems = verify_dataset(folder, on_progress=lambda count: progress.update(task, advance=count))
    if as_json:
        print_json({"folder": str(folder), "images": images, "problems": [vars(item) for item in problems]})
    else:
        for problem in problems:
            out.print(str(problem), markup=False)
    if problems:
        raise AimsError(f"{folder}: {len(problems)} problem{'s' * (len(problems) > 1)} found")
    if not as_json:
        out.print(f"{folder}: {images:,} images verified, no problem found", markup=False)
