"""The model card of an exported model: what it is, how it is loaded without AIMS, what it takes."""

from __future__ import annotations

from typing import Any

import jinja2

#: Names in `segment_anything.sam_model_registry`; a backbone that is not there is built from model.json.
_REGISTERED = {"sam-vit-b": "vit_b", "sam-vit-l": "vit_l", "sam-vit-h": "vit_h"}
_TEMPLATE = """\
---
pipeline_tag: mask-generation
tags:
- aims
- segment-anything
---

# {{ backbone }} for {{ dataset.modality }}: {{ method }}, {{ tuning }}

Plain weights of Segment Anything (SAM) with everything that was trained folded in. They need torch,
safetensors and segment-anything; AIMS is not needed.

Mean IoU {{ "%.2f" | format(100 * scores.miou) }} %: {{ scores.instances }} instances of {{ scores.images }} \
test images, one click each, of
{{ dataset.name }} (fingerprint `{{ dataset.fingerprint }}`), protocol `{{ config.protocol }}`, \
{{ config.precision }}.
{% if config.epochs %}
Epoch {{ scores.epoch }} of {{ config.epochs }}, selected on the {{ selected_on }} split.
{% else %}
Nothing was trained.
{% endif %}
{% if config.limit %}
**Only the first {{ config.limit }} images of each split were used.**
{% endif %}

## Loading

```python
{% if registered %}
import torch
from safetensors.torch import load_file
from segment_anything import sam_model_registry
from torch import nn

sam = sam_model_registry["{{ registered }}"]()
{% if modules.image_encoder.in_chans != 3 %}
sam.image_encoder.patch_embed.proj = {{ patch_embedding }}
{% endif %}
{% else %}
import functools, json, pathlib, torch
from safetensors.torch import load_file
from segment_anything import modeling
from torch import nn

parts = json.loads(pathlib.Path("model.json").read_text(encoding="utf-8"))["modules"]
norm = functools.partial(nn.LayerNorm, eps=1e-6)
transformer = modeling.TwoWayTransformer(**parts["transformer"])
sam = modeling.Sam(
    modeling.ImageEncoderViT(norm_layer=norm, **parts["image_encoder"]),
    modeling.PromptEncoder(**parts["prompt_encoder"]),
    modeling.MaskDecoder(transformer=transformer, **parts["mask_decoder"]),
)
{% endif %}
sam.load_state_dict(load_file("model.safetensors"))
{% if alignment %}
alignment = nn.Sequential({{ alignment | join(", ") }})
alignment.load_state_dict(load_file("alignment.safetensors"))
{% endif %}
```

## Use

```python
images = torch.randn(1, {{ input.channels }}, {{ size }}, {{ size }})  # stands for one image, made as below
point_coords = torch.tensor([[[{{ size / 2 }}, {{ size / 2 }}]]])  # (prompts, points, 2): (x, y) there
point_labels = torch.ones(1, 1)  # (prompts, points): 1 for the object, 0 for the background
with torch.no_grad():
{% if views > 1 %}
    views = {{ aligned }}.reshape(-1, 3, {{ size }}, {{ size }})  # {{ views }} pictures of the one image
    embeddings = sam.image_encoder(views).mean(0, keepdim=True)
{% else %}
    embeddings = sam.image_encoder({{ aligned }})
{% endif %}
    sparse, dense = sam.prompt_encoder(points=(point_coords, point_labels), boxes=None, masks=None)
    position = sam.prompt_encoder.get_dense_pe()
    mask_logits, iou = sam.mask_decoder(embeddings, position, sparse, dense, multimask_output=False)
```

`mask_logits` has {{ mask_size }} x {{ mask_size }} pixels: stretch it bilinearly (`align_corners=False`)
to the picture's size; the object is where it is above 0.

## From raw numbers to inputs

1. Scale each stream, an array (height, width, channels) of numbers as they are stored, by its rule:

   | stream | channels | unit | valid range | missing value | rule |
   | --- | --- | --- | --- | --- | --- |
{% for row in rows %}
   | {{ row | join(" | ") }} |
{% endfor %}

{% for name, rule in input.rules.items() %}
   `{{ name }}`: {{ rule }}.
{% endfor %}
{% if unknown %}
   What is not known here stands in the `aims.json` of the dataset.
{% endif %}
2. Stack the streams along the channels in this order. Normalise: (x - mean) / std, with
   mean {{ input.mean | list }} and
   std {{ input.std | list }}
   ({{ input.constants }}).
   Where there is no measurement (NaN, infinite, or the missing value) the result is 0.
3. Put the channels into the order {{ input.channel_order | list }}: `x[:, :, order]`; then channels first.
4. Stretch to {{ size }} x {{ size }} pixels, aspect not kept:
   `F.interpolate(x, ({{ size }}, {{ size }}), mode="bilinear", align_corners=False)`, no antialiasing.
5. A click on pixel (x, y) of a picture of width w and height h becomes
   ((x + 0.5) * {{ size }} / w - 0.5, (y + 0.5) * {{ size }} / h - 0.5).

## Where it comes from

- Run `{{ run }}`, exported by AIMS {{ aims }}: method `{{ method }}`, tuning `{{ tuning }}`
  {%- for name, value in options.items() %}, {{ name }} {{ value }}{% endfor %}, lr {{ config.lr }}, \
{{ config.loss }}, seed {{ config.seed }}.
{% if weights.start == "random" %}
- **It started from random weights**, not from pretrained ones.
{% elif weights.license %}
- It started from {{ weights.origin }}, licence {{ weights.license }},
  SHA-256 `{{ weights.start }}`.
{% else %}
- It started from weights with SHA-256 `{{ weights.start }}`; their licence is not known here.
{% endif %}
- Licence of the dataset that it was trained on: {{ dataset.license or "not known here" }}.
{% if dataset.citation %}
  Citation: {{ dataset.citation }}
{% endif %}
{% if dataset.url %}
  Source: {{ dataset.url }}
{% endif %}
- Compared with the run's own model on one random image and click, the embeddings differ by at most
  {{ "%.1e" | format(largest_differences.image_embeddings) }} and the mask logits by \
{{ "%.1e" | format(largest_differences.mask_logits) }}, as a share of their largest magnitude
  (absolute where that is below 1).
"""


def model_card(description: dict[str, Any]) -> str:
    """Writes README.md from the content of model.json alone."""
    given = description["input"]
    environment = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(_TEMPLATE).render(
        description,
        registered=_REGISTERED.get(description["backbone"]),
        size=given["size"],
        aligned="alignment(images)" if description["alignment"] else "images",
        rows=[_row(stream) for stream in given["streams"]],
        unknown=any("unit" not in stream for stream in given["streams"]),
    )


def _row(stream: dict[str, Any]) -> tuple[str, ...]:
    """A stream's line of the table."""
    name = f"`{stream['name']}`"
    rule = "not known" if stream["scaling"] is None else f"`{stream['scaling']}`"
    if "unit" not in stream:
        return (name, *4 * ("not known",), rule)
    bounds, missing = stream["valid_range"], stream["missing"]
    return (
        name,
        str(stream["channels"]),
        stream["unit"].replace("|", "\\|"),
        "none" if bounds is None else f"{bounds[0]} to {bounds[1]}",
        "none" if missing is None else str(missing),
        rule,
    )
