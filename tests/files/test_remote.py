"""Run folders at URLs, in the store that fsspec keeps in memory."""

from __future__ import annotations

import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from support.command_line import call
from support.tiny_runs import content, generate_tiny, nothing_is_sampled, small_config, watched_engine

from mosaicfusion.config import OutputSettings
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.remote import as_folder
from mosaicfusion.generation.generate import retry
from mosaicfusion.run.folder import RunFolder


@pytest.fixture(scope="module")
def local(tiny_sd: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("remote") / "run"
    generate_tiny(out, tiny_sd)
    return {name: data for name, data in content(out).items() if name != "run.lock"}


@pytest.fixture
def url() -> str:
    """The URL of a folder that does not exist yet."""
    return f"memory://bucket-{uuid.uuid4().hex}/run"


def stored(url: str) -> dict[str, bytes]:
    fs, root = MemoryFileSystem(), url.removeprefix("memory:/")
    return {name.removeprefix(f"{root}/"): fs.cat_file(name) for name in fs.find(root) if not name.endswith(".html")}


def test_same_bytes_as_in_a_folder(tiny_sd: Path, local: dict[str, bytes], url: str) -> None:
    assert generate_tiny(url, tiny_sd, shard="2/2").missing == 4
    summary = generate_tiny(url, tiny_sd)
    assert (summary.missing, summary.canvases) == (0, 8)
    assert summary.kept_regions > 0
    assert stored(url) == local


def test_status_and_report_read_a_run_at_a_url(tiny_sd: Path, url: str) -> None:
    generate_tiny(url, tiny_sd)
    assert "8 of 8 (100%)" in call("status", url).stdout
    result = call("report", url, "--masks", "polygon")
    assert result.exit_code == 0, result.output
    report = MemoryFileSystem().cat_file(url.removeprefix("memory:/") + "/report.html").decode()
    assert "data:image/jpeg" in report
    assert "The image is" not in report


def test_finished_run_is_not_generated_again(tiny_sd: Path, url: str) -> None:
    generate_tiny(url, tiny_sd)
    before = stored(url)
    generate_tiny(url, tiny_sd, engine=watched_engine(nothing_is_sampled))
    assert stored(url) == before


def test_a_run_without_write_access_stops_with_a_message_and_can_be_continued(
    tiny_sd: Path, local: dict[str, bytes], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_file, count = MemoryFileSystem.put_file, 0

    def refuse_after_six(self: MemoryFileSystem, *arguments: Any, **options: Any) -> None:
        nonlocal count
        count += 1
        if count > 6:
            raise PermissionError("Access Denied")
        put_file(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "put_file", refuse_after_six)
        with pytest.raises(MosaicFusionError, match=r"cannot write memory://.*: Access Denied") as caught:
            generate_tiny(url, tiny_sd)
    assert "of 8 canvases are missing; run the same command again to continue" in str(caught.value)
    generate_tiny(url, tiny_sd)
    assert stored(url) == local


def test_folders_are_created_in_a_store_but_no_buckets(
    tiny_sd: Path, local: dict[str, bytes], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_file = MemoryFileSystem.put_file

    def put(self: MemoryFileSystem, source: str, target: str, **options: Any) -> None:
        if target.rpartition("/")[0] not in folders:
            raise FileNotFoundError("The specified bucket does not exist")
        put_file(self, source, target, **options)

    folders: set[str] = set()
    monkeypatch.setattr(MemoryFileSystem, "put_file", put)
    monkeypatch.setattr(MemoryFileSystem, "makedirs", lambda _, folder, **options: folders.add(folder))
    generate_tiny(url, tiny_sd)
    assert stored(url) == local
    monkeypatch.setattr(MemoryFileSystem, "exists", lambda *_: False)
    with pytest.raises(MosaicFusionError, match=r"cannot write .*: The specified bucket does not exist"):
        generate_tiny(url + "-2", tiny_sd)


def test_a_store_that_does_not_answer_is_named(tiny_sd: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(MemoryFileSystem, "exists", fail)
    with pytest.raises(MosaicFusionError, match=r"cannot use memory://.*: no route to host; check the address"):
        generate_tiny(url, tiny_sd)


def test_another_run_is_refused(tiny_sd: Path, url: str) -> None:
    generate_tiny(url, tiny_sd, shard="1/2")
    before = stored(url)
    with pytest.raises(MosaicFusionError, match=r"holds another run.*\n  config\.seed: 0 -> 1"):
        generate_tiny(url, tiny_sd, config=small_config(tiny_sd, seed=1))
    MemoryFileSystem().pipe_file(url.removeprefix("memory:/") + "-2/thesis.tex", b"precious")
    with pytest.raises(MosaicFusionError, match="holds files but no run"):
        generate_tiny(url + "-2", tiny_sd)
    assert stored(url) == before


def test_failures_are_kept_and_retried(tiny_sd: Path, local: dict[str, bytes], url: str) -> None:
    def exhaust(indices: list[int]) -> None:
        if 3 in indices:
            raise MemoryError

    with pytest.raises(MosaicFusionError, match="1 canvas could not be generated"):
        generate_tiny(url, tiny_sd, engine=watched_engine(exhaust))
    assert "out_of_memory 1" in call("status", url).stdout
    retry(url)
    assert stored(url) == local


def test_min_semantics_needs_a_local_folder(tiny_sd: Path, url: str) -> None:
    with pytest.raises(MosaicFusionError, match=r"--min-semantics needs a run in a local folder; copy memory://"):
        generate_tiny(url, tiny_sd, output=OutputSettings(min_semantics=0.5))


class TestAsFolder:
    def test_paths_stay_paths(self, tmp_path: Path) -> None:
        assert as_folder("runs/rare") == Path("runs/rare")
        assert as_folder(tmp_path) == tmp_path
        assert as_folder(f"file://{tmp_path}") == tmp_path

    def test_unknown(self) -> None:
        with pytest.raises(MosaicFusionError, match=r"cannot use xyz://bucket/run: .*xyz"):
            as_folder("xyz://bucket/run")

    def test_without_the_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "upath", None)
        with pytest.raises(MosaicFusionError, match=r'pip install "mosaicfusion\[scale\]"'):
            as_folder("memory://bucket/run")

    def test_no_run(self, url: str) -> None:
        with pytest.raises(MosaicFusionError, match="holds no run"):
            RunFolder.open(as_folder(url))
        assert call("status", url).exit_code == 2
