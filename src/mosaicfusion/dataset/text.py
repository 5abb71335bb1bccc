"""The text of a json from outside: its encoding, its compression, and numbers that JSON does not have."""

from __future__ import annotations

import codecs
import gzip
import io
import math
import re
import zlib
from pathlib import Path

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.atomic import write_atomic

_GZIP = b"\x1f\x8b"
_MAX_RATIO, _MIN_LIMIT = 200, 2**26  # bytes unpacked for each byte of a gzip file, and a limit that is always allowed
_CHUNK = 2**20
# Longest first: the mark of UTF-32 begins with that of UTF-16.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    b"{\0": "utf-16-le",
    b"\0{": "utf-16-be",
}
_OTHERS = {
    b"PK\x03\x04": "a zip archive; unpack it",
    b"BZh": "compressed with bzip2; unpack it with `bunzip2`",
    b"\xfd7zXZ\0": "compressed with xz; unpack it with `unxz`",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; unpack it with `unzstd`",
    b"version https://git-lfs": "a pointer of Git LFS; get the file with `git lfs pull`",
    b"<": "HTML or XML, not JSON; download the file itself again",
}
_TOKEN = re.compile(
    rb'"(?:[^"\\]|\\.)*"|-?Infinity\b|NaN\b|-?\d+(?:\.\d+)?[eE]\+?\d{3,}|-?\d{309,}(?:\.\d+)?(?:[eE][+-]?\d+)?',
    re.DOTALL,
)
_ALIKE = bytes.maketrans(b"123456789E", b"000000000e")
_MANY_DIGITS = b"0" * 309  # no float has more before its point


def read_text(path: Path) -> bytes:
    """The text of a json as UTF-8 without a byte order mark; gzip, UTF-16 and UTF-32 are converted.

    Raises :class:`MosaicFusionError` for a file that cannot be read, and with the name of another compression or encoding.
    """
    try:
        data = path.read_bytes()
    except IsADirectoryError:
        raise MosaicFusionError(f"{path} is a folder; give a json in it, such as {path / 'lvis.json'}") from None
    except OSError as error:
        raise MosaicFusionError(f"cannot read {path}: {error.strerror or error}") from None
    return to_utf8(path, data)


def to_utf8(path: Path, data: bytes) -> bytes:
    """The text of the bytes of a json; ``path`` is for messages. Converts and raises as :func:`read_text`."""
    if data.startswith(_GZIP):
        data = _unpack(path, data)
    data = data.removeprefix(codecs.BOM_UTF8)
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            try:
                return data.decode(encoding).encode()
            except UnicodeError:
                raise MosaicFusionError(f"{path} is damaged {encoding.upper()} text; was it cut off?") from None
    for mark, text in _OTHERS.items():
        if data.lstrip()[: len(mark)] == mark if len(data) < _CHUNK else data.startswith(mark):
            raise MosaicFusionError(f"{path} is {text}")
    _require_utf8(path, data)
    return data


def _unpack(path: Path, data: bytes) -> bytes:
    limit = max(_MIN_LIMIT, _MAX_RATIO * len(data))
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            unpacked = file.read(limit + 1)
    except (EOFError, OSError, zlib.error) as error:
        raise MosaicFusionError(
            f"{path} is compressed with gzip and cannot be unpacked ({error}); was it cut off?"
        ) from None
    if len(unpacked) > limit:
        raise MosaicFusionError(
            f"{path} has more than {limit} bytes when unpacked; unpack it with `gunzip` if you trust it"
        )
    return unpacked


def _require_utf8(path: Path, data: bytes) -> None:
    if data.isascii():
        return
    decoder, start = codecs.getincrementaldecoder("utf-8")(), 0
    for start in range(0, len(data), _CHUNK):  # in chunks: decoded at once, a file takes several times its size
        try:
            decoder.decode(data[start : start + _CHUNK], final=start + _CHUNK >= len(data))
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            raise MosaicFusionError(
                f"{path} is not UTF-8 (byte 0x{byte:02x} near position {start + error.start}), perhaps Latin-1; convert it: "
                f"iconv -f WINDOWS-1252 -t UTF-8 {path.name} > utf8.json"
            ) from None


def may_overflow(data: bytes) -> bool:
    """False if no number of a JSON text is too large for a float; looks at 1 GB in a second."""
    chunks = (data[start : start + _CHUNK + 512] for start in range(0, len(data), _CHUNK))
    alike = (chunk.translate(_ALIKE, b"+") for chunk in chunks)
    return any(b"0e000" in chunk or _MANY_DIGITS in chunk for chunk in alike)


def without_infinity(data: bytes) -> tuple[bytes, int]:
    """``null`` in place of Infinity and NaN, which JSON does not have, and of numbers as large as 1e400; also their number."""
    count = 0

    def replaced(match: re.Match[bytes]) -> bytes:
        nonlocal count
        if match[0].startswith(b'"') or (match[0][-1:].isdigit() and math.isfinite(float(match[0]))):
            return match[0]
        count += 1
        return b"null"

    return _TOKEN.sub(replaced, data), count


def write_text(path: Path, data: bytes) -> None:
    """Write the bytes of a json, compressed if the name ends in ``.gz``; equal data gives equal bytes."""
    write_atomic(path, gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
