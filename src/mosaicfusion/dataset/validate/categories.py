"""Checks of categories. Rows may be anything, since they come from outside."""

from __future__ import annotations

from collections import Counter
from typing import Any

from mosaicfusion.categories import FREQUENCIES, normalize_name
from mosaicfusion.dataset.lvis import gap_in_ids
from mosaicfusion.dataset.validate.context import Context, check_id, is_int
from mosaicfusion.dataset.validate.issues import Issues, RowIssues
from mosaicfusion.errors import counted, is_printable, shown


def check_category(row: Any, issues: RowIssues, context: Context) -> None:
    """Check id, name and frequency."""
    if not check_id(row, issues, context.category_ids):
        return
    name = row.get("name")
    if not isinstance(name, str) or not name.strip():
        issues.error("name", f"name is {shown(name)}; give a text")
    elif not is_printable(name):
        issues.error("name", f"name {shown(name)} holds characters that cannot be printed; write it without them")
    elif normalize_name(name) in context.category_names:
        issues.warning("name", f"name {shown(name)} occurred before; rename one")
    else:
        context.category_names.add(normalize_name(name))
    if context.lvis and row.get("frequency") not in FREQUENCIES:
        issues.error("frequency", f"frequency is {shown(row.get('frequency'))}; LVIS' evaluation needs r, c or f")


def check_counts(row: Any, issues: RowIssues, counts: dict[str, Counter[int]], lvis: bool) -> None:
    """Check the counts of a category, after all annotations. A validation set may have those of its training set: a warning."""
    if not isinstance(row, dict) or not is_int(row.get("id")):
        return
    issues.id = row["id"]
    for key, by_category in counts.items():
        counted = by_category[row["id"]]
        if (key in row or lvis) and row.get(key) != counted:
            text = f"{key} is {shown(row.get(key))}, counted {counted}; --fix writes that"
            issues.warning("counts", text, {key: counted})


def check_loaders(issues: Issues, context: Context) -> None:
    """Check the set as a whole, after all rows, for what detectron2's LVIS loader cannot read."""
    if context.lvis and (gap := gap_in_ids(context.category_ids)):
        issues.add("warning", "category-ids", "categories", gap)
    if context.blank:
        text = (
            f"{counted(context.blank, 'annotation')} with a box and no mask, which training and exports need; add masks"
        )
        issues.add("warning", "boxes-only", "annotations", text)
    if context.lvis and context.run_lengths:
        text = (
            f"{context.run_lengths} masks are run lengths; detectron2's LVIS loader takes polygons: "
            "merge with --masks polygon"
        )
        issues.add("warning", "run-lengths", "annotations", text)
