"""`aims click MODEL FILES...`: a page on which a person clicks, sees masks, and labels a new set."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from aims.cli._options import (
    MODEL,
    data_option,
    device_option,
    parse_channels,
    parse_streams,
    parse_variables,
    path_option,
    source_options,
    weights_option,
)
from aims.cli._terminal import err, out
from aims.core.errors import InputError
from aims.core.words import count

_EPILOG = """
\b
aims click runs/NAME thermal/                       the page opens in the browser
aims click runs/NAME thermal/ --against runs/OTHER  two models side by side
aims click runs/NAME data/aims/mine --split test --out checked --class pane --class frame
"""


@click.command(epilog=_EPILOG)
@click.argument("model", type=MODEL)
@click.argument("files", type=str, nargs=-1)
@path_option("--against", "A second model, shown beside the first on the same clicks.", kind=MODEL)
@data_option("Where the run's own dataset is; without FILES.")
@path_option("--out", "Folder of what is saved.  [default: labels/MODEL]", name="target")
@click.option("--class", "classes", multiple=True, metavar="NAME", help="A class to choose; several times.")
@source_options()
@weights_option()
@device_option()
@click.option("--precision", type=click.Choice(["float32", "bf16"]), help="[default: the run's on a GPU]")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="[default: a free one]")
@click.option("--no-browser", is_flag=True, help="Print the address alone.")
def command(
    model: Path,
    files: tuple[str, ...],
    against: Path | None,
    data: Path,
    target: Path | None,
    classes: tuple[str, ...],
    split: str | None,
    streams: tuple[str, ...],
    channels: str | None,
    variables: tuple[str, ...],
    weights: Path | None,
    device: str,
    precision: str | None,
    port: int,
    no_browser: bool,
) -> None:
    """Click on objects in a browser, see a model's masks, and save them as a new set.

    MODEL is the folder of a finished run, or a submission with weights; FILES are pictures, folders, patterns
    or converted datasets; by default the test images of the run's own dataset. What is saved is a folder for
    `aims convert folder`. The page is on this machine's loopback address alone; Ctrl-C ends it.
    """
    # Imported here: torch takes seconds.
    from aims.engine.restore import dataset_of, load_record
    from aims.labeling.folder import LabelFolder
    from aims.labeling.session import Session
    from aims.prediction.load import load
    from aims.prediction.sources import find_sources

    try:
        from aims.labeling.page import Page
        from aims.labeling.server import PageServer
    except ModuleNotFoundError as error:
        raise InputError(f"the page needs {error.name}; pip install 'aims-bench[click]'") from None

    start = None if weights is None else str(weights)
    first = load(model, weights=start, device=device, precision=precision)
    models = [first]
    if against is not None:
        models.append(load(against, device=device, precision=precision))
    if not files:
        if not model.is_dir():
            raise InputError(f"{model}: give FILES, too; only the folder of a run names its dataset")
        files, split = (str(dataset_of(load_record(model), data).folder),), split or "test"
    sources = find_sources(files, first.rules, streams=parse_streams(streams), split=split)
    labels = LabelFolder(target or Path("labels") / first.name, first.rules.streams, classes)
    named = parse_variables(variables, first.rules)
    session = Session(models, sources, labels, parse_channels(channels), named)
    server = PageServer(Page(session).app, port)
    out.print(server.address, markup=False, soft_wrap=True)
    err.print(f"{count(len(sources), 'picture')}; Ctrl-C ends", markup=False)
    if not no_browser:
        webbrowser.open(server.address)
    server.run()
    pictures, objects = labels.count()
    if objects:
        what = f"{count(objects, 'object')} in {count(pictures, 'picture')}"
        out.print(f"{what}  ->  {labels.path}", markup=False, soft_wrap=True)
        out.print(f"next: {labels.command}", markup=False, soft_wrap=True)
