"""The Hugging Face dataset card of a converted set."""

from __future__ import annotations

import json

from aims.core.texts import printable
from aims.data.manifest import PARTS, Manifest
from aims.data.templates import render_template


def dataset_card(manifest: Manifest) -> str:
    """Writes README.md for a dataset folder, from its manifest alone."""

    def bounds(pair: tuple[float, float] | None) -> str:
        return "" if pair is None else f"{pair[0]:g} to {pair[1]:g}"

    dataset = manifest.dataset
    objects = manifest.dropped.get("object", 0)
    return render_template(
        "card.md.j2",
        manifest=manifest,
        dataset=dataset,
        # JSON strings are valid YAML, so any licence is quoted safely; a dataset name needs no quotes.
        license_name=printable(json.dumps(dataset.license, ensure_ascii=False)).replace("<", "\\u003c"),
        bounds=bounds,
        images=sum(count for kind, count in manifest.dropped.items() if kind not in PARTS),
        objects=objects,
    )
