"""SAM, the layers that methods and tunings add to it, and its weights; the only package of torch layers."""

import aims.models.sam  # noqa: F401  (registers its backbones)
