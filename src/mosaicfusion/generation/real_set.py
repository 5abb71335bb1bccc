"""Reading into the settings of scenes what they take from a real set."""

from __future__ import annotations

from typing import Any

from mosaicfusion.categories import Selection
from mosaicfusion.config import RunConfig
from mosaicfusion.dataset.real_objects import RealObjects
from mosaicfusion.layouts import SceneLayout
from mosaicfusion.layouts.real_set import RealSet
from mosaicfusion.layouts.scene import FROM_FILE, file_of


def with_real_set(config: RunConfig, selection: Selection) -> RunConfig:
    """``config`` with what its layout takes from files, such as ``sizes: like:FILE``, read; others are returned as they are."""
    layout = config.layout
    if not isinstance(layout, SceneLayout):
        return config
    files = {name: file for name in FROM_FILE if (file := file_of(getattr(layout, name)))}
    if not files:
        return config
    categories = list(dict.fromkeys([*selection.main, *selection.partners]))
    sets = {file: RealObjects.read(file, categories) for file in set(files.values())}
    found: dict[str, Any] = {} if layout.like is None else dict(layout.like)
    for name, file in files.items():
        found[name] = _read(sets[file], name, selection)
    values = layout.model_dump(exclude_unset=True) | {"kind": layout.kind, "like": RealSet(**found)}
    return config.model_copy(update={"layout": SceneLayout.model_validate(values | dict.fromkeys(files, "like"))})


def _read(real: RealObjects, name: str, selection: Selection) -> Any:
    if name == "companions":
        return real.companions(list(selection.main))
    return {"objects": real.objects, "sizes": real.sizes, "positions": real.positions}[name]()
