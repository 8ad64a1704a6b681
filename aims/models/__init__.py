"""SAM and its successors, the layers that methods and tunings add to them, and their weights.

The only package of torch layers.
"""

import aims.models.efficient_sam
import aims.models.hf
import aims.models.mobile_sam
import aims.models.sam  # noqa: F401  (they register their backbones)
