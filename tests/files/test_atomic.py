"""Files are written as a whole or not at all, also by several processes at once."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.folders import read_files

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.atomic import remove_leftovers, write_atomic, write_new, write_stream

WRITE = """
import sys
from pathlib import Path
from mosaicfusion.files.atomic import write_stream
def write(file):
    print("writing", flush=True)
    sys.stdin.readline()
    file.write(b"whole")
write_stream(Path(sys.argv[1]), write)
"""


def test_one_of_many_writers_creates_the_file(tmp_path: Path) -> None:
    path = tmp_path / "run" / "run.json"
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda k: write_new(path, f"{k}".encode()), range(8)))
    assert sum(made) == 1
    assert path.read_text() == str(made.index(True))
    assert [file.name for file in path.parent.iterdir()] == ["run.json"]


def test_write_new_works_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(Path, "hardlink_to", fail)
    assert write_new(tmp_path / "run.json", b"first")
    assert not write_new(tmp_path / "run.json", b"second")
    assert (tmp_path / "run.json").read_bytes() == b"first"
    assert [file.name for file in tmp_path.iterdir()] == ["run.json"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(MosaicFusionError, match="cannot write"):
        write_new(tmp_path / "run" / "run.json", b"")


def test_leftovers_are_removed_but_not_files_being_written(tmp_path: Path) -> None:
    path = tmp_path / "part.jsonl"
    (tmp_path / ".part.jsonl.killed.tmp").write_text("half")
    command = [sys.executable, "-c", WRITE, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        remove_leftovers(tmp_path.glob(".*.tmp"))
        (alive,) = tmp_path.glob(".*.tmp")
        assert "killed" not in alive.name
        process.communicate("go on\n")
    assert path.read_bytes() == b"whole"
    assert [file.name for file in tmp_path.iterdir()] == ["part.jsonl"]


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "judge.json"
    with subprocess.Popen(
        [sys.executable, "-c", WRITE, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
    assert len(list(tmp_path.iterdir())) == 1
    write_atomic(path, b"whole")
    assert sorted(read_files(tmp_path)) == ["judge.json"]


def test_many_writers_of_one_file_leave_it_whole_and_alone(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda k: write_atomic(path, bytes([k]) * 999), range(200)))
    assert len(set(path.read_bytes())) == 1
    assert sorted(read_files(tmp_path)) == ["run.json"]


def test_stream_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "lvis.json"
    path.write_text("old")

    def write(file: Any) -> None:
        file.write(b"half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_stream(path, write)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["lvis.json"]


class TestWriteAtomic:
    def test_makes_parents_and_replaces(self, tmp_path: Path) -> None:
        path = tmp_path / "a" / "b.json"
        write_atomic(path, b"one")
        write_atomic(path, b"two")
        assert path.read_bytes() == b"two"
        assert sorted(read_files(tmp_path)) == ["a/b.json"]

    @pytest.mark.parametrize("failing", ["fsync", "fdopen", "replace"])
    def test_full_disk_leaves_the_old_file_alone(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
    ) -> None:
        path = tmp_path / "b.json"
        write_atomic(path, b"old")

        def fail(*_: Any, **__: Any) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(Path if failing == "replace" else os, failing, fail)
        with pytest.raises(MosaicFusionError, match=r"cannot write .*b\.json: No space left on device"):
            write_atomic(path, b"new")
        assert path.read_bytes() == b"old"
        assert sorted(read_files(tmp_path)) == ["b.json"]

    def test_interrupt_leaves_the_old_file_alone(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_atomic(tmp_path / "b.json", b"old")

        def interrupt(_: int) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_atomic(tmp_path / "b.json", b"new")
        assert sorted(read_files(tmp_path)) == ["b.json"]
        assert (tmp_path / "b.json").read_bytes() == b"old"

    def test_a_file_in_place_of_a_folder(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("")
        with pytest.raises(MosaicFusionError, match="cannot write"):
            write_atomic(tmp_path / "a" / "b.json", b"")
