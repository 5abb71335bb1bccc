"""Models and run folders that people have and that once went wrong, in the real command line: status, words, files.

``pytest -s tests/cases/test_models.py`` prints the table.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from cases.table import Table
from click.testing import Result
from diffusers import UNet2DConditionModel
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError
from safetensors.torch import load_file, save_file
from support.command_line import call
from support.folders import read_files
from support.tiny_models import ChangedModel
from support.tiny_runs import changed_engine, generate_tiny
from transformers import CLIPTokenizer

from mosaicfusion.diffusion.family import DiffusionModel
from mosaicfusion.errors import MosaicFusionError

REGIONS = "--set layout.region_hw_px=[16,16] --set layout.overlap_xy_px=[8,8] --set layout.group_size=2"
MASKS = "--set attention.strides_px=[4] --set masks.min_area=0 --set masks.max_area=1"
TINY = f"--categories kite,drum -n 1 --grid 1x2 --steps 2 {REGIONS} {MASKS}".split()
RUN = {"run.json", "run.lock", "parts", "images", "lvis.json", "report.html"}


def generate(model: Path | str, *arguments: Any, out: Path | str = "run") -> Result:
    return call("generate", *TINY, "--model", model, "--out", out, *arguments, columns=400)


def edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def to_half(folder: Path, keep: bool = False) -> None:
    """The weights as ``*.fp16.safetensors``, instead of the plain ones or beside them."""
    for path in folder.rglob("*.safetensors"):
        values = {
            name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in load_file(path).items()
        }
        save_file(values, path.with_name(f"{path.stem}.fp16.safetensors"), {"format": "pt"})
        if not keep:
            path.unlink()


def nine_channels(folder: Path) -> None:
    edit(folder / "unet/config.json", in_channels=9)
    UNet2DConditionModel.from_config(json.loads((folder / "unet/config.json").read_text())).save_pretrained(
        folder / "unet"
    )


def refiner(folder: Path) -> None:
    """The parts of SDXL's refiner under the class of the base model: one text encoder, five sizes and scores."""
    edit(folder / "model_index.json", text_encoder=[None, None], tokenizer=[None, None])
    edit(folder / "unet/config.json", cross_attention_dim=32, projection_class_embeddings_input_dim=32 + 5 * 8)


def unembedded_token(folder: Path) -> None:
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    tokenizer.add_tokens(["sks"])
    tokenizer.save_pretrained(folder / "tokenizer")


def dangling(folder: Path) -> None:
    path = next((folder / "unet").glob("*.safetensors"))
    path.unlink()
    path.symlink_to("nowhere")


def nan_weights(part: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = next((folder / part).glob("*.safetensors"))
        save_file({name: tensor * torch.nan for name, tensor in load_file(path).items()}, path, {"format": "pt"})

    return change


def zero_snr(folder: Path) -> None:
    values = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "prediction_type": "v_prediction"}
    edit(folder / "scheduler/scheduler_config.json", **values)


def unchanged(folder: Path) -> None: ...


ROWS: list[tuple[str, str, Callable[[Path], None], str, int, str]] = [
    ("plain", "tiny_sd", unchanged, "", 0, "in run/lvis.json"),
    ("fp16 only", "tiny_sd", to_half, "", 0, "in run/lvis.json"),
    ("fp16 only", "tiny_sd", to_half, "--variant fp16", 0, "in run/lvis.json"),
    ("fp16 only, XL", "tiny_sdxl", to_half, "", 0, "in run/lvis.json"),
    ("plain", "tiny_sd", unchanged, "--variant fp16", 2, "no complete weights of variant fp16; it has none"),
    ("9 channels", "tiny_sd", nine_channels, "", 2, "its U-Net reads 9 channels and predicts 4, an image has 4"),
    ("refiner", "tiny_sdxl", refiner, "", 2, "(it is that of SDXL's refiner); give the base model"),
    ("no embedding", "tiny_sd", unembedded_token, "", 2, "has tokens without an embedding in text_encoder: sks"),
    ("dangling link", "tiny_sd", dangling, "", 2, "is a link to a file that does not exist"),
    ("NaN autoencoder", "tiny_sd", nan_weights("vae"), "", 2, "r gives NaN, even for a small tile; try --dtype float32"),
    ("NaN U-Net", "tiny_sd", nan_weights("unet"), "", 2, "U-Net gives NaN, even for a small tile; try --dtype float32"),
    ("zero SNR", "tiny_sd", zero_snr, "", 0, "in run/lvis.json"),
    ("zero SNR", "tiny_sd", zero_snr, "--scheduler lms", 2, "because it ignores rescale_betas_zero_snr"),
    ("zero SNR", "tiny_sd", zero_snr, "--scheduler pndm", 2, "because it ignores rescale_betas_zero_snr"),
    ("zero SNR", "tiny_sd", zero_snr, "--preset fast", 0, "in run/lvis.json"),
    ("plain", "tiny_sd", unchanged, "--scheduler EDMEulerScheduler", 2, "because it ignores beta_schedule"),
    ("plain", "tiny_sd", unchanged, "--scheduler nonsense", 2, "choose one of lms, dpm++"),
    ("plain", "tiny_sd", unchanged, "--steps 2147483648", 2, "2147483648 sampling steps are too many"),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "family", "change", "arguments", "status", "words"),
    ROWS,
    ids=[f"{row[0]} {row[3]}".strip() for row in ROWS],
)
def test_every_model_is_loaded_or_refused_in_a_line(
    name: str,
    family: str,
    change: Callable[[Path], None],
    arguments: str,
    status: int,
    words: str,
    folder: Path,
    request: pytest.FixtureRequest,
    table: Table,
) -> None:
    shutil.copytree(request.getfixturevalue(family), "model")
    change(Path("model"))
    result = generate("model", *arguments.split())
    table.add(name, f"generate {arguments}", result, words)
    assert result.exit_code == status, result.output
    assert words in result.output
    if status:
        assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
        assert not Path("run").exists()


def test_each_scheduler_of_the_list_is_one_that_fits(folder: Path, tiny_sd: Path, tiny_model: DiffusionModel) -> None:
    message = generate(tiny_sd, "--scheduler", "nonsense").stderr
    names = message.rpartition("choose one of ")[2].strip().split(", ")
    assert {"lms", "ddim", "model", "HeunDiscreteScheduler"} <= set(names)
    for name in names:
        scheduler = tiny_model.scheduler(name, 10)
        latents = torch.ones(1, 4, 4, 4) * scheduler.init_noise_sigma
        for timestep in scheduler.timesteps:
            prediction = scheduler.scale_model_input(latents, timestep) / 2
            latents = scheduler.step(prediction, timestep, latents, return_dict=False)[0]
        assert latents.isfinite().all(), name


def test_the_variant_is_a_part_of_the_run(folder: Path, tiny_sd: Path) -> None:
    """Where both are there, they are different weights: other canvases."""
    shutil.copytree(tiny_sd, "model")
    to_half(Path("model"), keep=True)
    assert generate("model").exit_code == 0
    before = read_files(folder / "run")
    refused = generate("model", "--variant", "fp16")
    assert refused.exit_code == 2
    assert "config.variant: None -> 'fp16'" in refused.stderr
    assert read_files(folder / "run") == before
    assert generate("model", "--variant", "fp16", out="half").exit_code == 0
    assert json.loads(Path("half/run.json").read_text())["config"]["variant"] == "fp16"


def test_a_run_without_any_image_is_not_complete(folder: Path, tiny_sd: Path) -> None:
    """An autoencoder may overflow for images only, and not for the tile that is tried first."""
    engine = changed_engine(lambda model: ChangedModel(model, decode=lambda latents: None))
    with pytest.raises(MosaicFusionError, match=r"3 batches in a row .* became NaN or infinite; .* --dtype float32"):
        generate_tiny("run", tiny_sd, engine=engine)
    with pytest.raises(MosaicFusionError, match=r"no canvas in few has an image: .* --dtype float32"):
        generate_tiny("few", tiny_sd, engine=engine, canvases_per_category=2)
    for name in ("run", "few"):
        assert not Path(name, "lvis.json").exists()
        reported = call("report", name, columns=400)
        assert reported.exit_code == 2
        assert "--dtype float32" in reported.stderr
        assert not Path(name, "lvis.json").exists()


class TestHub:
    @pytest.mark.parametrize(
        ("kind", "words"),
        [
            (GatedRepoError, "it is gated: accept its terms on its page, then log in"),
            (RepositoryNotFoundError, "if it is private or gated: accept its terms on its page, then log in"),
            (RevisionNotFoundError, "it has no such branch, tag or commit: check --revision"),
        ],
    )
    def test_what_the_hub_refuses_is_named(
        self, kind: type[GatedRepoError], words: str, folder: Path, monkeypatch: pytest.MonkeyPatch, table: Table
    ) -> None:
        from httpx2 import Request, Response

        def refuse(*_: Any, **__: Any) -> None:
            raise kind("no", response=Response(403, request=Request("GET", "https://hub.invalid")))

        monkeypatch.setattr("diffusers.pipelines.pipeline_utils.model_info", refuse)
        result = generate("owner/model")
        table.add(kind.__name__, "generate --model owner/model", result)
        assert result.exit_code == 2
        assert words in result.stderr

    @pytest.mark.parametrize(
        "name", ["models/sd15", "./sd15", "models/sd/15", "~/sd15", "sd15", "models\\sd15", "sd15/"]
    )
    def test_a_mistyped_folder_does_not_ask_the_hub(
        self, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, table: Table
    ) -> None:
        monkeypatch.setattr("mosaicfusion.models.hub._from_hub", lambda *_: pytest.fail("the hub was asked"))
        (folder / "models" / "sd1.5").mkdir(parents=True)
        result = generate(name)
        table.add("a folder that is not there", f"generate --model {name}", result)
        assert result.exit_code == 2
        assert "there is no model folder" in result.stderr
        if name == "models/sd15":
            assert "one of models/ (sd1.5)" in result.stderr


class TestOut:
    @pytest.mark.parametrize("name", ["run[/x]", "run[v]", "[bold]run"])
    def test_brackets_are_text(self, name: str, folder: Path, tiny_sd: Path, table: Table) -> None:
        generated = generate(tiny_sd, out=name)
        table.add("a name with brackets", f"generate --out {name}", generated)
        for result in (generated, call("report", name, columns=400), call("status", name, columns=400)):
            assert result.exit_code == 0, result.output
            assert name in result.output
        assert {path.name for path in (folder / name).iterdir()} == RUN

    def test_a_link_to_an_empty_folder_is_that_folder(self, folder: Path, tiny_sd: Path) -> None:
        for name in ("run", "export"):
            (folder / f"empty-{name}").mkdir()
            (folder / name).symlink_to(f"empty-{name}")
        assert generate(tiny_sd).exit_code == 0
        assert call("export", "run", "--to", "coco", "-o", "export").exit_code == 0
        assert {path.name for path in (folder / "empty-run").iterdir()} == RUN
        assert (folder / "empty-export" / "coco.json").exists() and (folder / "export").is_symlink()

    def test_a_link_that_leads_nowhere_is_refused_before_the_model_is_loaded(self, folder: Path, tiny_sd: Path) -> None:
        (folder / "run").symlink_to("nowhere")
        result = generate(tiny_sd)
        assert result.exit_code == 2
        assert result.stderr == "error: run is a link to nowhere, which does not exist; give another --out\n"

    @pytest.mark.parametrize("arguments", [("--out=~/run",), ("--out", "~/run"), ("-o", "~/run")])
    def test_the_tilde_is_the_home_folder(
        self, arguments: tuple[str, ...], folder: Path, tiny_sd: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(folder / "home"))
        assert call("generate", *TINY, "--model", tiny_sd, *arguments).exit_code == 0
        assert (folder / "home/run/lvis.json").exists()
        assert not (folder / "~").exists()


def test_a_socket_path_that_is_too_long_names_the_variable(
    folder: Path, tiny_sd: Path, monkeypatch: pytest.MonkeyPatch, table: Table
) -> None:
    pytest.importorskip("ray")
    long = folder / ("x" * 100)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    result = generate(tiny_sd, "--workers", "2")
    table.add("a long TMPDIR", "generate --workers 2", result)
    assert result.exit_code == 2
    assert "set RAY_TMPDIR to a short path, such as /tmp" in result.stderr
