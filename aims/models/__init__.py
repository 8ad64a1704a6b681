"""SAM, what is put before it and into it, and its weights. The only package that knows torch layers."""

import aims.models.sam  # noqa: F401  (registers its backbones)
