"""Objects that notebooks show as HTML."""

from __future__ import annotations

from importlib import import_module


class ShownInNotebooks:
    """Base of classes that notebooks show as a few lines of HTML, with pictures.

    The views are in ``report/notebook.py``, which knows the classes and is above them; so it is found by its name.
    """

    def _repr_html_(self) -> str:
        return str(import_module("mosaicfusion.report.notebook").to_html(self))
