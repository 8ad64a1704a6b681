"""`aims export-model RUN`: a run's model as plain SAM weights."""

from __future__ import annotations

from pathlib import Path

import click

from aims.cli._options import MODEL, json_option, path_option, weights_option
from aims.cli._terminal import err, out, print_json


@click.command()
@click.argument("run", type=MODEL)
@path_option("--out", "Folder to make.  [default: exported/RUN]", name="target")
@weights_option()
@json_option("Print what was written as JSON.")
def command(run: Path, target: Path | None, weights: Path | None, as_json: bool) -> None:
    """Fold a run's trained layers into plain SAM weights.

    RUN is the folder of a finished run. Written are model.safetensors with segment-anything's own keys,
    alignment.safetensors, model.json (how raw numbers become inputs, scores, licences) and README.md with a
    loading example that needs no AIMS. The outputs are compared with the run's model before.
    """
    # Imported here: torch takes seconds.
    from aims.engine.export import export_model

    with err.status("folding, and comparing the outputs"):
        result = export_model(run, target, weights)
    files = {path.name: path.stat().st_size for path in sorted(result.folder.iterdir())}
    if as_json:
        print_json({"folder": str(result.folder), "files": files, "model": result.description})
        return
    out.print(f"{run}  ->  {result.folder}", markup=False)
    for name, size in files.items():
        out.print(f"  {name:<24}{size:>15,} bytes", markup=False)
    differences = result.description["largest_differences"]
    out.print(
        f"compared with the run's model: embeddings differ by at most {differences['image_embeddings']:.1e}, "
        f"mask logits by {differences['mask_logits']:.1e}",
        markup=False,
    )
