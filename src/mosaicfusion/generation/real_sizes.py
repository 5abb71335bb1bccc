"""The sizes of the objects of a real set, for scenes."""

from __future__ import annotations

from typing import Any

from mosaicfusion.categories import Selection
from mosaicfusion.config import RunConfig
from mosaicfusion.dataset.object_sizes import read_sizes
from mosaicfusion.layouts import SceneLayout
from mosaicfusion.layouts.scene import LIKE


def with_real_sizes(config: RunConfig, selection: Selection) -> RunConfig:
    """``config`` with the sizes that a layout takes from a file, ``sizes: like:FILE``, read; others are returned as they are."""
    layout = config.layout
    if not isinstance(layout, SceneLayout) or not layout.sizes.startswith(LIKE):
        return config
    categories = list(dict.fromkeys([*selection.main, *selection.partners]))
    table = read_sizes(layout.sizes.removeprefix(LIKE), categories)
    values: dict[str, Any] = layout.model_dump(exclude_unset=True) | {
        "kind": layout.kind,
        "sizes": "like",
        "like": table,
    }
    return config.model_copy(update={"layout": SceneLayout.model_validate(values)})
