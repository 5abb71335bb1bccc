"""The drawings of a category, at most one per style."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from miniature.assets import package_folder
from miniature.pictures import drawing_file, emoji_characters, tight_square
from miniature.vocabulary import Entry

SVG_STYLES = {
    "fluent-flat": "@iconify-json/fluent-emoji-flat",
    "noto": "@iconify-json/noto",
    "noto-v1": "@iconify-json/noto-v1",
    "twemoji": "@iconify-json/twemoji",
}
STYLES = ("fluent-3d", *SVG_STYLES)
SIDE_PX = 256

# Chosen by eye on a sheet of all drawings: these show another object, or more than the object. noto-v1 lacks 33 others.
UNFIT: dict[str, dict[str, str]] = {
    "fluent-3d": {},
    "fluent-flat": {},
    "noto": {},
    "noto-v1": {
        "basketball": "a ball in a hoop",
        "chicken": "the same bird as the rooster",
        "koala": "a koala on a trunk",
        "laptop": "a desktop computer",
        "microphone": "a microphone and a note",
        "peach": "a plum",
        "rooster": "the same bird as the chicken",
    },
    "twemoji": {"microphone": "a microphone and notes", "rooster": "a white hen"},
}

Drawings = dict[str, np.ndarray]
"""Drawings by style: uint8 (S, S, 4), colours premultiplied by alpha, cropped to the visible pixels."""


def icon_name(emoji: str) -> str:
    """Name of an icon in the SVG packages, such as "womans-hat" for "woman’s hat"."""
    return emoji.lower().replace("’", "").replace(" ", "-")


def svg_document(icons: dict[str, Any], name: str) -> str:
    """Make an SVG document of one icon."""
    icon = icons["icons"][name]
    width, height = (icon.get(key, icons.get(key, 16)) for key in ("width", "height"))
    box = f"{icon.get('left', 0)} {icon.get('top', 0)} {width} {height}"
    links = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'<svg {links} viewBox="{box}">{icon["body"]}</svg>'


def render_svg(document: str) -> np.ndarray:
    """Render an SVG document: uint8 (H, 256, 4), straight alpha."""
    import resvg_py

    png = bytes(resvg_py.svg_to_bytes(svg_string=document, width=SIDE_PX, skip_system_fonts=True))
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGBA"))


def load_drawings(work: Path, entries: list[Entry]) -> list[Drawings]:
    """Load the drawings of each entry, in the order of entries and styles."""
    characters = emoji_characters(work)
    sets = {
        style: json.loads((package_folder(work, package) / "icons.json").read_text(encoding="utf-8"))
        for style, package in SVG_STYLES.items()
    }
    return [_drawings(work, entry.emoji, characters[entry.emoji], sets) for entry in entries]


def _drawings(work: Path, name: str, emoji: str, sets: dict[str, Any]) -> Drawings:
    with Image.open(drawing_file(work, emoji)) as image:
        pictures = {"fluent-3d": np.asarray(image.convert("RGBA"))}
    for style, icons in sets.items():
        if icon_name(name) in icons["icons"] and name not in UNFIT[style]:
            pictures[style] = render_svg(svg_document(icons, icon_name(name)))
    return {style: tight_square(rgba).round().astype(np.uint8) for style, rgba in pictures.items()}
