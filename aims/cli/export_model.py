"""`aims export-model RUN`: a run's model in files that need no AIMS."""

from __future__ import annotations

from pathlib import Path

import click

from aims.cli._names import Name
from aims.cli._options import MODEL, json_option, path_option, weights_option
from aims.cli._terminal import err, out, print_json


@click.command()
@click.argument("run", type=MODEL)
@path_option("--out", "Folder to make.  [default: exported/RUN]", name="target")
@click.option(
    "--format",
    "name",
    type=Name("format"),
    metavar="NAME",
    help="sam, torch, onnx or transformers.  [default: sam where the model is plain SAM, else torch]",
)
@click.option("--half", is_flag=True, help="Write float16, with --format onnx.")
@weights_option()
@json_option("Print what was written as JSON.")
def command(
    run: Path, target: Path | None, name: str | None, half: bool, weights: Path | None, as_json: bool
) -> None:
    """Write a run's model for use without AIMS.

    RUN is the folder of a finished run. The formats: sam, plain SAM weights with segment-anything's own keys,
    trained layers folded in; torch, programs of torch.export; onnx, ONNX models; transformers, a folder for
    SamModel. Programs and ONNX models take raw numbers, and hold models of every method and tuning. Beside
    them are written model.json (how raw numbers become inputs, scores, licences) and README.md with an
    example that needs no AIMS. The outputs are compared with the run's model before.
    """
    # Imported here: torch takes seconds.
    from aims.engine.export import export_model

    with err.status("writing, and comparing the outputs"):
        result = export_model(run, target, weights, format=name, half=half)
    files = {path.name: path.stat().st_size for path in sorted(result.folder.iterdir())}
    if as_json:
        print_json({"folder": str(result.folder), "files": files, "model": result.description})
        return
    out.print(f"{run}  ->  {result.folder}", markup=False)
    for file, size in files.items():
        out.print(f"  {file:<24}{size:>15,} bytes", markup=False)
    differences = result.description["largest_differences"]
    out.print(
        f"compared with the run's model: embeddings differ by at most {differences['image_embeddings']:.1e}, "
        f"mask logits by {differences['mask_logits']:.1e}",
        markup=False,
    )
