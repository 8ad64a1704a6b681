"""segment-anything's own modules, imported without its predictor, which needs torchvision.

segment-anything (Kirillov et al., ICCV 2023, https://github.com/facebookresearch/segment-anything) is used
as installed and never copied.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from aims.core.errors import AimsError

#: Name in `sys.modules` under which its `modeling` package is imported.
PRIVATE_NAME = "aims.models._segment_anything"


@functools.cache
def sam_modeling() -> ModuleType:
    """Imports `segment_anything.modeling` as a private package, without `segment_anything/__init__.py`.

    That file imports the predictor, which needs torchvision; the modules need torch only. The entry
    `segment_anything` of `sys.modules` is neither read nor created.

    Raises:
        AimsError: segment-anything is not installed.
    """
    package = importlib.util.find_spec("segment_anything")
    folders = package.submodule_search_locations if package is not None else None
    if not folders:
        raise AimsError("segment-anything is not installed; run `pip install segment-anything==1.0`")
    folder = Path(folders[0]) / "modeling"
    spec = importlib.util.spec_from_file_location(
        PRIVATE_NAME, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None or not (folder / "__init__.py").is_file():
        raise AimsError(f"{folder}: no modeling package; reinstall segment-anything==1.0")
    module = importlib.util.module_from_spec(spec)
    sys.modules[PRIVATE_NAME] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[PRIVATE_NAME]
        raise
    return module
