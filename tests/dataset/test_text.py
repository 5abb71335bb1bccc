"""Encodings and compressions of jsons from outside, and numbers that JSON does not have."""

from __future__ import annotations

import bz2
import gzip
import json
from pathlib import Path

import pytest

from mosaicfusion.dataset.coco import CategoryRef, DatasetFile
from mosaicfusion.dataset.text import to_utf8, without_infinity, write_text
from mosaicfusion.errors import MosaicFusionError

TEXT = '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "café"}]}'
PATH = Path("set.json")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_every_unicode_is_read_plain_and_compressed(tmp_path: Path, encoding: str, compress: type[bytes]) -> None:
    (tmp_path / "set.json").write_bytes(compress(TEXT.encode(encoding)))
    file = DatasetFile.open(tmp_path / "set.json")
    assert [category.name for category in file.parse("categories", list[CategoryRef])] == ["café"]
    assert file.remarks == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (TEXT.encode("latin-1"), r"not UTF-8 \(byte 0xe9 near position 7\d\), perhaps Latin-1; convert it: iconv"),
        (gzip.compress(TEXT.encode(), mtime=0)[:-9], "compressed with gzip and cannot be unpacked"),
        (TEXT.encode("utf-16")[:-1], "damaged UTF-16 text; was it cut off"),
        (bz2.compress(TEXT.encode()), "bzip2; unpack it"),
        (b"PK\x03\x04...", "zip archive"),
        (b"<!DOCTYPE html>", "HTML or XML"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
    ],
    ids=["latin-1", "half gzip", "half utf-16", "bzip2", "zip", "html", "git-lfs"],
)
def test_other_files_are_named(data: bytes, message: str) -> None:
    with pytest.raises(MosaicFusionError, match=message):
        to_utf8(PATH, data)


def test_a_gzip_file_that_unpacks_to_far_more_is_refused() -> None:
    with pytest.raises(MosaicFusionError, match="when unpacked"):
        to_utf8(PATH, gzip.compress(b" " * (2**26 + 1)))


def test_latin1_within_an_annotation_is_found(tmp_path: Path) -> None:
    """Rows are not parsed when a file is opened."""
    text = TEXT.replace('"annotations": []', '"annotations": [{"id": 1, "note": "é"}]').replace("café", "cafe")
    (tmp_path / "set.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(MosaicFusionError, match="not UTF-8"):
        DatasetFile.open(tmp_path / "set.json")


def test_infinity_and_nan_become_null_outside_of_texts() -> None:
    data = json.dumps({"a": [float("inf"), float("-inf"), float("nan")], 'NaN "\\ Infinity': "NaN"}).encode()
    mended, count = without_infinity(data)
    assert count == 3
    assert json.loads(mended) == {"a": [None] * 3, 'NaN "\\ Infinity': "NaN"}


def test_files_are_compressed_by_their_name(tmp_path: Path) -> None:
    for name in ("a.json.gz", "b.json.gz", "c.json"):
        write_text(tmp_path / name, b"{}")
    assert gzip.decompress((tmp_path / "a.json.gz").read_bytes()) == (tmp_path / "c.json").read_bytes()
    assert (tmp_path / "a.json.gz").read_bytes() == (tmp_path / "b.json.gz").read_bytes()
