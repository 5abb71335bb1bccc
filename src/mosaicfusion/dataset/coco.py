"""LVIS and COCO jsons: the types of their rows, and a file that is parsed only as far as needed.

LVIS' training set has 1.1 GB in 1.27 million annotations, nearly all of it numbers of polygons. Values that are not needed stay
bytes: they take no more memory than the file, and go into another file digit for digit.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from mosaicfusion.categories import MAX_ID
from mosaicfusion.dataset.mend import mended_rows, root_category
from mosaicfusion.dataset.text import may_overflow, read_text, without_infinity
from mosaicfusion.errors import MosaicFusionError, first_line, is_printable
from mosaicfusion.files.remote import as_path

LISTS = ("images", "annotations", "categories")
CATEGORY_LISTS = ("neg_category_ids", "not_exhaustive_category_ids")  # of an image in LVIS
SYNTHETIC = "synthetic"  # field of an image: true for one that mosaicfusion generated
_OLD_MARK = "mosaicfusion://"  # start of the coco_url of such an image in files of earlier versions
MAX_SIDE_PX = 100_000


T = TypeVar("T")
Record = dict[str, Any]  # a row with all its fields

_Id = Annotated[int, msgspec.Meta(ge=-MAX_ID, le=MAX_ID)]
_Side = Annotated[int, msgspec.Meta(gt=0, le=MAX_SIDE_PX)]
_Length = Annotated[float, msgspec.Meta(ge=0)]


class CategoryRef(msgspec.Struct):
    """The fields that identify a category."""

    id: _Id
    name: str
    synonyms: list[str] | None = None
    synset: str | None = None
    frequency: str | None = None


class ImageRef(msgspec.Struct):
    """The fields that locate the file of an image, and LVIS' lists of verified categories."""

    id: _Id
    file_name: str | None = None
    coco_url: str | None = None
    neg_category_ids: list[int] | None = None
    not_exhaustive_category_ids: list[int] | None = None
    mark: Any = msgspec.field(default=None, name=SYNTHETIC)

    @property
    def synthetic(self) -> bool:
        """True if mosaicfusion generated the image."""
        return self.mark is True or (self.coco_url or "").startswith(_OLD_MARK)


class ImageRow(ImageRef, kw_only=True):
    """An image with a size, in pixels, and an id that can be a file name."""

    id: Annotated[int, msgspec.Meta(ge=0, le=MAX_ID)]
    width: _Side
    height: _Side

    @property
    def hw(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width


class AnnotationRef(msgspec.Struct, gc=False):
    """The image and the category of an annotation."""

    id: _Id
    image_id: _Id
    category_id: _Id


class AnnotationRow(AnnotationRef, kw_only=True, gc=False):
    """An annotation whose mask stays raw JSON until it is needed; fields that may be missing have a default."""

    bbox: tuple[float, float, float, float] | None = None
    area: float | None = None
    iscrowd: int = 0
    segmentation: msgspec.Raw = msgspec.Raw(b"null")


class CompleteAnnotation(AnnotationRef, kw_only=True):
    """An annotation with everything that exports and evaluation need; its mask is checked by :mod:`.masks`."""

    bbox: tuple[float, float, _Length, _Length]
    area: _Length
    segmentation: list[Any] | dict[str, Any]
    iscrowd: Annotated[int, msgspec.Meta(ge=0, le=1)] = 0


@dataclass(frozen=True)
class Remark:
    """A change that was made while a json was read. ``kind`` is that of an issue; ``count`` is the number of values."""

    kind: str
    text: str
    count: int = 1


class DatasetFile:
    """The top-level values of a json, not parsed yet. Read one with :meth:`open`.

    ``remarks``: what was read as something else, such as Infinity as ``null``.
    """

    def __init__(self, path: Path, fields: dict[str, msgspec.Raw]) -> None:
        self.path = path
        self.fields = fields
        self.remarks: list[Remark] = []

    @classmethod
    def open(cls, path: Path) -> DatasetFile:
        """Read a file, plain or compressed with gzip.

        Raises :class:`MosaicFusionError` if it is missing, cut off, not JSON or not an object with the lists.
        """
        return cls.from_bytes(path, read_text(path))

    @classmethod
    def from_bytes(cls, path: Path, data: bytes, needed: Iterable[str] = LISTS) -> DatasetFile:
        """The content of a file, as UTF-8; ``path`` is for messages, lists that are not ``needed`` may be missing.

        Raises as :meth:`open`.
        """
        fields, remarks = _top_level(path, data)
        for key in LISTS:
            missing = "-" if key in needed else "[]"
            if bytes(memoryview(fields.setdefault(key, msgspec.Raw(missing.encode())))[:1]) != b"[":
                raise MosaicFusionError(f"{path} has no list of {key!r}; an LVIS or COCO json is needed")
        file = cls(path, fields)
        file.remarks += remarks
        file._leave_out_root()
        return file

    def _leave_out_root(self) -> None:
        root = root_category(*(self.fields[key] for key in ("categories", "images", "annotations")))
        if root is not None:
            index, name = root
            rows = self.parse("categories", list[msgspec.Raw])
            self.fields["categories"] = msgspec.Raw(b"".join(_json_list([*rows[:index], *rows[index + 1 :]])))
            text = f"the category {name!r:.60} is only the parent of the others, as Roboflow writes it; it is left out"
            self.remarks.append(Remark("root-category", text))

    def parse(self, key: str, kind: type[T]) -> T:
        """Parse a top-level value as ``kind``, for instance ``list[AnnotationRef]``; fields that ``kind`` lacks are skipped.

        Rows with values that have one meaning only, such as 640.0 pixels, are mended. Raises :class:`MosaicFusionError` with
        the location if a value is of another type.
        """
        try:
            return msgspec.json.decode(self.fields[key], type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if isinstance(error, msgspec.ValidationError) and key in LISTS and self._mend(key):
                return self.parse(key, kind)
            reason = str(error).replace("`$", f"`{key}")
            raise MosaicFusionError(
                f"{self.path}: {key}: {reason}; `mosaicfusion validate {self.path}` lists all problems"
            ) from None

    def _mend(self, key: str) -> bool:
        rows, count = mended_rows(key, msgspec.json.decode(self.fields[key], type=list[msgspec.Raw]))
        if count:
            self.fields[key] = msgspec.Raw(b"".join(_json_list(rows)))
            text = f"values such as 640.0 or null, where whole numbers are needed, are read as such; rows of {key}: {count}"
            self.remarks.append(Remark("whole-number", text, count))
        return count > 0

    def with_lists(self, **lists: Iterable[bytes]) -> bytes:
        """The file's JSON with other lists, whose rows are JSON already; everything else keeps its bytes."""
        pieces: list[bytes] = []
        for key, value in self.fields.items():
            pieces += [b"," if pieces else b"{", msgspec.json.encode(key), b":"]
            pieces += _json_list(lists[key]) if key in lists else [value]
        return b"".join([*pieces, b"}"])


def _top_level(path: Path, data: bytes) -> tuple[dict[str, msgspec.Raw], list[Remark]]:
    try:
        try:
            fields = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
            if not may_overflow(data):
                return fields, []
        except msgspec.DecodeError:  # perhaps because of Infinity
            pass
        mended, count = without_infinity(data)
        text = f"{count} numbers are Infinity or NaN, or too large for a float; they are read as null"
        remarks = [Remark("infinity", text, count)] if count else []
        return msgspec.json.decode(mended, type=dict[str, msgspec.Raw]), remarks
    except msgspec.ValidationError:
        raise MosaicFusionError(
            f"{path} is not an object with {', '.join(LISTS)}; an LVIS or COCO json is needed"
        ) from None
    except RecursionError as error:
        raise MosaicFusionError(f"{path} cannot be read: its JSON is {first_line(error)}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MosaicFusionError(f"{path} is not whole JSON ({error}); was it cut off?") from None


def _json_list(rows: Iterable[bytes]) -> Iterator[bytes]:
    yield b"["
    for number, row in enumerate(rows):
        if number:
            yield b","
        yield row
    yield b"]"


def json_of(location: str | Path) -> Path:
    """The json of a folder in Roboflow's layout, where it lies beside the images; any other path as it is."""
    path = as_path(location)
    file = path / "_annotations.coco.json"
    return file if _is_file(file) else path


def is_synthetic(image: Record) -> bool:
    """True if the record of an image is that of a synthetic one."""
    return image.get(SYNTHETIC) is True or str(image.get("coco_url")).startswith(_OLD_MARK)


def path_fault(name: str) -> str | None:
    """The reason why a ``file_name`` must not be used as a path under the images' folder; ``None`` for a valid one."""
    if not is_printable(name) or not name.strip():
        return "is empty or holds characters that cannot be printed"
    if "://" in name:
        return "is an address, not the path of a file"
    if "\\" in name or name.startswith("/") or re.match("[A-Za-z]:", name):
        return "is absolute or of another system"
    if set(plain_name(name).split("/")) & {"", ".", ".."}:
        return "leaves its folder, or holds an empty part"
    return None


def plain_name(name: str) -> str:
    """A path without parts that mean the folder itself: ``./train/./a.jpg`` is ``train/a.jpg``."""
    return "/".join(part for part in name.split("/") if part != ".") if "./" in name else name


def image_name(image: ImageRef) -> str | None:
    """The path of an image under the images' folder: ``file_name``, or else the last two parts of ``coco_url``.

    LVIS v1 has only the second: ``http://images.cocodataset.org/train2017/000000391895.jpg``.
    """
    return plain_name(image.file_name) if image.file_name else url_tail(image.coco_url)


def url_tail(url: str | None) -> str | None:
    """The last two parts of an address, folder and file, as detectron2 takes them; ``None`` without them."""
    tail = "/".join((url or "").split("/")[-2:])
    return tail if "/" in tail.strip("/") else None


def find_image(folders: Path | Sequence[Path], image: ImageRef) -> Path | None:
    """The file of an image under the first of ``folders`` that has it; ``None`` if it does not exist.

    Any of the names that loaders try will do.

    LVIS v0.5 says ``COCO_val2014_000000266409.jpg`` for the file ``val2017/000000266409.jpg``. A synthetic image is never
    looked up by its file name alone: canvases are numbered like COCO's images, so that would be another image.
    """
    tail = url_tail(image.coco_url)
    names = [image.file_name, tail, tail.split("/")[-1] if tail and not image.synthetic else None]
    valid = [name for name in names if name and path_fault(name) is None]
    paths = [folder / name for folder in ([folders] if isinstance(folders, Path) else folders) for name in valid]
    return next((path for path in paths if _is_file(path)), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name longer than the file system takes
        return False


def require_unique(path: Path, kind: str, values: Iterable[object], field: str = "id") -> None:
    """Raise :class:`MosaicFusionError` if two rows of a list, such as ``images``, share a value that identifies them."""
    value, count = next(iter(Counter(values).most_common(1)), (None, 0))
    if count > 1:
        raise MosaicFusionError(f"{path}: {count} {kind} have the {field} {value!r:.80}; each needs its own")


def require_known(path: Path, row: AnnotationRef, images: Container[int], categories: Container[int]) -> None:
    """Raise :class:`MosaicFusionError` for an annotation whose image or category, given by id, does not exist."""
    if row.image_id not in images or row.category_id not in categories:
        raise MosaicFusionError(
            f"{path}: annotation {row.id} is of image {row.image_id} and category {row.category_id}; there is no "
            f"such image or category; `mosaicfusion validate {path}` lists all problems"
        )
