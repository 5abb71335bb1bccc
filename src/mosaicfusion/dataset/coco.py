"""An LVIS or COCO json as it stands in the file, parsed only as far as it is asked for.

LVIS' training set has 1.1 GB in 1.27 million annotations, nearly all of it numbers of polygons. What nobody looks at stays
bytes: it is not parsed, takes no more memory than the file, and goes back into another file digit for digit.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from mosaicfusion.errors import MosaicFusionError

CATEGORY_LISTS = ("neg_category_ids", "not_exhaustive_category_ids")
LISTS = ("images", "annotations", "categories")
SYNTHETIC = "mosaicfusion://"  # how the coco_url of an image begins that was drawn and not photographed

T = TypeVar("T")


class CategoryRef(msgspec.Struct):
    """What a category is recognised by."""

    id: int
    name: str
    synonyms: list[str] | None = None
    synset: str | None = None
    frequency: str | None = None


class ImageRef(msgspec.Struct):
    """What an image is found by, and LVIS' lists of categories that were looked for in it."""

    id: int
    file_name: str | None = None
    coco_url: str | None = None
    neg_category_ids: list[int] | None = None
    not_exhaustive_category_ids: list[int] | None = None

    @property
    def drawn(self) -> bool:
        """Whether mosaicfusion drew it."""
        return (self.coco_url or "").startswith(SYNTHETIC)


class AnnotationRef(msgspec.Struct, gc=False):
    """Where an annotation belongs."""

    id: int
    image_id: int
    category_id: int


class DatasetFile:
    """The top-level values of a json, unparsed. Read one with :meth:`open`."""

    def __init__(self, path: Path, fields: dict[str, msgspec.Raw]) -> None:
        self.path = path
        self.fields = fields

    @classmethod
    def open(cls, path: Path) -> DatasetFile:
        """Read a file; raises :class:`MosaicFusionError` if it is missing, cut off, not JSON or not an object with the lists."""
        try:
            data = path.read_bytes().removeprefix(BOM_UTF8)
        except OSError as error:
            raise MosaicFusionError(f"cannot read {path}: {error.strerror or error}") from None
        try:
            fields = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        except msgspec.ValidationError:
            raise MosaicFusionError(
                f"{path} is not an object with {', '.join(LISTS)}; an LVIS or COCO json is needed"
            ) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MosaicFusionError(f"{path} is not whole JSON ({error}); was it cut off?") from None
        for key in LISTS:
            if bytes(memoryview(fields.get(key, msgspec.Raw(b"-")))[:1]) != b"[":
                raise MosaicFusionError(f"{path} has no list of {key!r}; an LVIS or COCO json is needed")
        return cls(path, fields)

    def parse(self, key: str, kind: type[T]) -> T:
        """One of the top-level values as ``kind``, for instance ``list[AnnotationRef]``; what ``kind`` lacks is skipped.

        Raises :class:`MosaicFusionError` with the place if a value is of another type.
        """
        try:
            return msgspec.json.decode(self.fields[key], type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            reason = str(error).replace("`$", f"`{key}")
            raise MosaicFusionError(
                f"{self.path}: {key}: {reason}; `mosaicfusion validate {self.path}` lists what is wrong with it"
            ) from None

    def with_lists(self, **lists: Iterable[bytes]) -> bytes:
        """The file's JSON with other lists, their rows JSON already; all else keeps its bytes."""
        pieces: list[bytes] = []
        for key, value in self.fields.items():
            pieces += [b"," if pieces else b"{", msgspec.json.encode(key), b":"]
            pieces += _json_list(lists[key]) if key in lists else [value]
        return b"".join([*pieces, b"}"])


def _json_list(rows: Iterable[bytes]) -> Iterator[bytes]:
    yield b"["
    for number, row in enumerate(rows):
        if number:
            yield b","
        yield row
    yield b"]"


def path_fault(name: str) -> str | None:
    """Why a ``file_name`` must not be used as a path under the images' folder; ``None`` for a good one."""
    if not name.isprintable() or not name.strip():
        return "is empty or holds characters that cannot be printed"
    if "\\" in name or name.startswith("/") or re.match("[A-Za-z]:", name):
        return "is absolute or of another system"
    if set(name.split("/")) & {"", ".", ".."}:
        return "leaves its folder, or holds an empty part"
    return None


def image_name(image: ImageRef) -> str | None:
    """The path of an image under the images' folder: ``file_name``, or else the last two parts of ``coco_url``.

    LVIS v1 has only the second: ``http://images.cocodataset.org/train2017/000000391895.jpg``.
    """
    return image.file_name or url_tail(image.coco_url)


def url_tail(url: str | None) -> str | None:
    """The last two parts of an address, folder and file, as detectron2 takes them; ``None`` without them."""
    tail = "/".join((url or "").split("/")[-2:])
    return tail if "/" in tail.strip("/") else None


def find_image(folder: Path, image: ImageRef) -> Path | None:
    """The file of an image under ``folder``, by any of the names that loaders try; ``None`` if it is not there.

    LVIS v0.5 names ``COCO_val2014_000000266409.jpg`` what lies on disk as ``val2017/000000266409.jpg``. The file alone is not
    looked for if the image was drawn: canvases are numbered as COCO's images are, so that would be another image.
    """
    tail = url_tail(image.coco_url)
    names = [image.file_name, tail, tail.split("/")[-1] if tail and not image.drawn else None]
    paths = [folder / name for name in names if name and path_fault(name) is None]
    return next((path for path in paths if _is_file(path)), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name longer than the file system takes
        return False


def require_unique(path: Path, kind: str, values: Iterable[object], field: str = "id") -> None:
    """Raise :class:`MosaicFusionError` where two rows of a list, as ``images``, share a value that tells them apart."""
    value, count = next(iter(Counter(values).most_common(1)), (None, 0))
    if count > 1:
        raise MosaicFusionError(f"{path}: {count} {kind} have the {field} {value!r:.80}; each needs its own")


def require_known(path: Path, row: AnnotationRef, images: Container[int], categories: Container[int]) -> None:
    """Raise :class:`MosaicFusionError` for an annotation of an image or a category, given by ids, that is not there."""
    if row.image_id not in images or row.category_id not in categories:
        raise MosaicFusionError(
            f"{path}: annotation {row.id} is of image {row.image_id} and category {row.category_id}; there is no "
            f"such image or category; `mosaicfusion validate {path}` lists all such places"
        )
