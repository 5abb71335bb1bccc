"""train, evaluate and predict on the command line: tables, exit codes and files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from PIL import Image
from support.command_line import call
from support.hand_made_runs import disc, make_run, region
from support.minilvis_part import write_part
from support.shapes_set import write_set

from mosaicfusion.detectors.config import RECIPES

TINY = [
    "schedule.iterations=2", "schedule.batch_size=2", "data.train_sides_px=[48]", "data.test_side_px=48",
    "data.max_side_px=64", "heads.proposals_train=[40,20]", "heads.proposals_test=[20,10]",
]  # fmt: skip


def train(folder: Path, *more: Any) -> Result:
    settings = [part for setting in TINY for part in ("--set", setting)]
    return call(
        "train", "--train", folder / "train.json", "--images", folder / "images", "--recipe", "mini_lite0", *settings,
        "--workers", 0, "--device", "cpu", "--out", folder / "exp", *more,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_set(tmp_path, "train", first_id=1, count=4)
    write_set(tmp_path, "val", first_id=101, count=2)
    return tmp_path


def test_train_evaluate_predict(folder: Path) -> None:
    result = train(folder, "--val", folder / "val.json")
    assert result.exit_code == 0, result.output
    for words in ("2 steps in", "waiting for images", "AP in percent on 2 images", "AP_r", "mask"):
        assert words in result.stdout
    exp = folder / "exp"
    names = {path.name for path in exp.iterdir()}
    written = {
        "recipe.yaml",
        "classes.json",
        "model.safetensors",
        "last.ckpt",
        "scores-val.json",
        "detections-val.json",
    }
    assert written <= names
    assert {"AP", "AP_r"} <= json.loads((exp / "scores-val.json").read_text())["mask"]["metrics"].keys()

    assert f"note: `mosaicfusion predict {exp} PHOTOS -o found` shows what it finds" in result.stderr

    again = train(folder)
    assert "all 2 steps taken before" in again.stdout
    assert f"note: `mosaicfusion evaluate {exp} --val VAL.json --images FOLDER` shows its AP" in again.stderr
    shown = call("evaluate", exp, "--val", folder / "val.json", "--images", folder / "images", "--open-vocabulary",
                 "--workers", 0, "--device", "cpu")  # fmt: skip
    assert shown.exit_code == 0, shown.output
    assert "AP_novel" in shown.stdout

    image, overlay = next((folder / "images" / "val").iterdir()), folder / "overlay.png"
    result = call("predict", exp, image, "-o", overlay, "--min-score", 0, "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert f"image: {overlay}" in result.stdout
    with Image.open(overlay) as rendered:
        assert rendered.size[0] >= 64
    assert "nothing scores 1 or more" in call("predict", exp, image, "-o", overlay, "--min-score", 1).stdout


def train_on(source: Path, out: Path, *more: Any) -> Result:
    """Train without --images."""
    settings = [part for setting in TINY for part in ("--set", setting)]
    return call("train", "--train", source, "--recipe", "mini_lite0", *settings, "--no-pretrained", "--workers", 0,
                "--device", "cpu", "--out", out, *more)  # fmt: skip


def test_the_lines_of_a_job_show_the_loss(folder: Path) -> None:
    """The last line is that of the log: the mean over its steps."""
    result = train(folder, "--set", "schedule.iterations=20", "--no-pretrained")
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("training: 20/20 steps")]
    logged = json.loads((folder / "exp/log.jsonl").read_text().splitlines()[-1])
    assert len(lines) == 1
    assert f"steps, loss {logged['loss']:.3f}, " in lines[0]
    assert f"loss {logged['loss']:.3f}\n" in result.stdout


def test_init_starts_from_another_detector(folder: Path) -> None:
    train(folder)
    tuned = train(folder, "--init", folder / "exp", "--out", folder / "tuned")
    assert tuned.exit_code == 0, tuned.output
    assert re.search(r"weights of \S+exp: (\d+) of \1 tensors taken", tuned.stdout.replace("\n", ""))
    again = train(folder, "--init", folder / "exp", "--out", folder / "tuned")
    assert "all 2 steps taken before" in again.stdout and "tensors taken" not in again.stdout
    without = train(folder, "--out", folder / "tuned")
    assert without.exit_code == 2 and "--init" in without.stderr

    other = json.loads((folder / "train.json").read_text())
    other["categories"][0]["name"] = "ring"  # as many classes, so that all shapes are equal
    (folder / "train.json").write_text(json.dumps(other))
    changed = train(folder, "--init", folder / "exp", "--out", folder / "ring")
    assert changed.exit_code == 0, changed.output
    assert "not taken, of other classes: roi_heads.box_predictor.classifier\n" in changed.stdout
    assert "of another shape" not in changed.stdout


def test_init_refuses_what_holds_no_weights(folder: Path) -> None:
    (folder / "bad").mkdir()
    (folder / "bad/model.safetensors").write_bytes(b"no weights")
    for init, words in (("absent", "holds no weights"), ("bad", "is damaged"), ("exp", "this training itself")):
        result = train(folder, "--init", folder / init)
        assert result.exit_code == 2
        assert words in " ".join(result.stderr.split())
        assert not (folder / "exp").exists()


def test_a_longer_training_continues_if_the_rates_allow_it(folder: Path) -> None:
    steps = ("--set", "schedule.decay=step", "--no-pretrained")
    train(folder, *steps)
    longer = train(folder, *steps, "--set", "schedule.iterations=3")
    assert longer.exit_code == 0, longer.output
    assert "1 step in" in longer.stdout
    shorter = train(folder, *steps)
    assert shorter.exit_code == 2 and "schedule.iterations: 3 -> 2" in shorter.stderr

    train(folder, "--out", folder / "cosine")
    result = train(folder, "--out", folder / "cosine", "--set", "schedule.iterations=3")
    assert result.exit_code == 2
    assert f"--init {folder / 'cosine'}" in " ".join(result.stderr.split())


def test_a_run_folder_holds_its_images(tmp_path: Path) -> None:
    canvases = [[region(0, disc(0)), region(1, disc(1), "drum")] for _ in range(3)]
    run, val = (make_run(tmp_path / name, canvases).path for name in ("run", "other.run"))
    result = train_on(run, tmp_path / "exp", "--val", val)
    assert result.exit_code == 0, result.output
    assert "LVIS' AP in percent on 3 images" in result.stdout
    assert "all 2 steps taken before" in train_on(run, tmp_path / "exp", "--images", run).stdout
    shown = call("evaluate", tmp_path / "exp", "--val", val, "--workers", 0, "--device", "cpu")
    assert shown.exit_code == 0, shown.output
    assert (tmp_path / "exp/scores-other.json").exists()


def test_images_lie_in_the_folder_of_the_json_by_default(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for name in ("train", "val"):
        (folder / f"{name}.json").rename(folder / f"images/{name}.json")
    inside = folder / "images/train.json"
    result = train_on(inside, folder / "exp", "--val", folder / "images/val.json")
    assert result.exit_code == 0, result.output
    shown = call("evaluate", folder / "exp", "--val", folder / "images/val.json", "--workers", 0, "--device", "cpu")
    assert shown.exit_code == 0, shown.output

    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (folder / "images/val").rename(elsewhere / "val")
    missing = train_on(inside, folder / "exp", "--val", folder / "images/val.json")
    assert missing.exit_code == 2
    assert "2 of 2 images are not under" in missing.output and "--val-images" in missing.output
    found = train_on(inside, folder / "exp", "--val", folder / "images/val.json", "--val-images", elsewhere)
    assert found.exit_code == 0, found.output


def test_a_folder_of_roboflow_is_trained_on(folder: Path) -> None:
    (folder / "train.json").rename(folder / "images/_annotations.coco.json")
    result = train_on(folder / "images", folder / "exp")
    assert result.exit_code == 0, result.output


def test_errors_come_before_any_file_is_written(folder: Path) -> None:
    val = json.loads((folder / "val.json").read_text())
    val["categories"][0]["name"] = "ring"
    (folder / "other.json").write_text(json.dumps(val))
    for more, words in (
        (["--val", folder / "other.json"], '3 is "disc" and "ring"'),
        (["--set", "schedule.batch_sise=3"], "schedule.batch_sise"),
        (["--set", "backbone.name=resnet51"], "unknown backbone"),
        (["--detector", "yolo"], "detector"),
        (["--recipe", "lvis_r51"], "unknown recipe"),
        (["--images", folder / "nowhere"], "there is no folder"),
    ):
        result = train(folder, *more)
        assert result.exit_code == 2, result.output
        assert words in " ".join(result.output.split())
        assert not (folder / "exp" / "model.safetensors").exists()


def test_an_unusable_validation_set_is_refused_before_training(folder: Path) -> None:
    val = json.loads((folder / "val.json").read_text())
    del val["images"][0]["neg_category_ids"]
    (folder / "coco.json").write_text(json.dumps(val))
    (folder / "images/val/000000000101.png").unlink()
    for name, words in (("coco.json", "lack neg_category_ids"), ("val.json", "1 of 2 images are not under")):
        result = train(folder, "--val", folder / name)
        assert result.exit_code == 2
        assert words in " ".join(result.output.split())
        assert not (folder / "exp").exists()


def test_a_coco_json_with_fewer_categories_is_evaluated(folder: Path) -> None:
    val = json.loads((folder / "val.json").read_text())
    for one in val["images"]:
        del one["neg_category_ids"], one["not_exhaustive_category_ids"]
    left_out = val["categories"].pop()["id"]
    val["annotations"] = [row for row in val["annotations"] if row["category_id"] != left_out]
    for category in val["categories"]:
        del category["frequency"]
    (folder / "coco.json").write_text(json.dumps(val))
    result = train(folder, "--val", folder / "coco.json")
    assert result.exit_code == 0, result.output
    for words in (
        "COCO's AP in percent on 2 images",
        "AP_s",
        "by category",
        val["categories"][0]["name"],
    ):
        assert words in result.stdout
    assert "AP_r" not in result.stdout


def test_a_merged_set_with_lists_in_some_images_is_evaluated(folder: Path) -> None:
    val = json.loads((folder / "val.json").read_text())
    for image in val["images"]:
        image["neg_category_ids"] = []
    del val["images"][0]["neg_category_ids"], val["images"][0]["not_exhaustive_category_ids"]
    (folder / "mixed.json").write_text(json.dumps(val))
    result = train(folder, "--val", folder / "mixed.json")
    assert result.exit_code == 0, result.output
    assert "COCO's AP in percent on 2 images" in result.stdout
    assert "note: COCO's AP, because 1 of 2 images have no LVIS lists" in result.stderr


def test_a_second_set_names_its_own_option(folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere/val.json").write_text((folder / "val.json").read_text())
    missing = train(folder, "--val", folder / "elsewhere/val.json", "--val-images", folder / "elsewhere")
    assert missing.exit_code == 2
    assert "give the folder that their names are relative to with --val-images" in missing.stderr


def test_a_json_that_does_not_exist_is_named(tmp_path: Path) -> None:
    result = train_on(tmp_path / "data/plus.json", tmp_path / "exp")
    assert result.exit_code == 2
    assert f"cannot read {tmp_path / 'data/plus.json'}: No such file or directory" in result.stderr


def test_objects_of_skipped_images_do_not_count(folder: Path) -> None:
    """The scores are those of a json without these images."""
    val = json.loads((folder / "val.json").read_text())
    val["images"] = val["images"][1:]
    val["annotations"] = [row for row in val["annotations"] if row["image_id"] == val["images"][0]["id"]]
    (folder / "one.json").write_text(json.dumps(val))
    train(folder)
    (folder / "images/val/000000000101.png").unlink()
    common = ("--images", folder / "images", "--workers", 0, "--device", "cpu")
    skipped = call("evaluate", folder / "exp", "--val", folder / "val.json", "--skip-missing", *common)
    assert skipped.exit_code == 0, skipped.output
    assert "left out: images that are not on disk: 1" in skipped.stderr
    assert "AP in percent on 1 image" in skipped.stdout
    call("evaluate", folder / "exp", "--val", folder / "one.json", *common)
    scores = [(folder / "exp" / f"scores-{name}.json").read_text() for name in ("val", "one")]
    assert scores[0] == scores[1]


def test_a_group_of_settings_cannot_be_replaced_by_a_value(folder: Path) -> None:
    text = (RECIPES / "mini_lite0.yaml").read_text().replace("backbone: {", "# {")
    (folder / "bare.yaml").write_text(text + "\nbackbone: efficientnet_lite0\n")
    for more in (["--recipe", folder / "bare.yaml"], ["--set", "backbone=resnet50"]):
        result = train(folder, *more, "--no-pretrained")
        assert result.exit_code == 2
        assert "backbone" in result.output and "settings" in result.output


def test_text_embeddings_need_a_text_classifier(folder: Path) -> None:
    result = train(folder, "--text-embeddings", folder / "text.safetensors")
    assert result.exit_code == 2
    assert "no use in a recipe whose classifier.kind is linear" in " ".join(result.output.split())


def test_predict_never_overwrites_its_image(folder: Path) -> None:
    image = folder / "images" / "val" / "000000000101.png"
    before = image.read_bytes()
    result = call("predict", folder, image, "-o", folder / "images/../images/val/000000000101.png")
    assert "is the image itself" in " ".join(result.output.split())
    assert image.read_bytes() == before


def test_predict_needs_a_detector_and_an_image(folder: Path) -> None:
    image = folder / "images" / "val" / "000000000101.png"
    assert "holds no detector" in call("predict", folder, image, "-o", folder / "o.png").output
    assert "must end in .png or .jpg" in call("predict", folder, image, "-o", folder / "o.gif").output
    assert "as an image" in call("predict", folder, folder / "val.json", "-o", folder / "o.png").output


@pytest.mark.parametrize("recipe", ["mini_lite0", "mini_centernet2", "mini_fvlm"])
def test_a_pool_is_pasted_in_a_training(recipe: str, tmp_path: Path) -> None:
    """Instances of a run are pasted on a part of MiniLVIS, whose edges do not count in the mask loss."""
    part = write_part(tmp_path / "part", each=1, images=(4, 1))
    data = json.loads((part / "train.json").read_text())
    data["categories"][0].update(name="kite", synset="", synonyms=[])
    (part / "train.json").write_text(json.dumps(data))
    run = make_run(tmp_path / "run", [[region(0, disc(0)), region(1, disc(1), "drum")] for _ in range(3)]).path
    texts: list[Any] = []
    if recipe == "mini_fvlm":
        texts = ["--text-embeddings", tmp_path / "text.safetensors"]
        assert call("embed-text", "--vocabulary", part / "train.json", "-o", texts[1]).exit_code == 0

    def train(*more: Any) -> Result:
        settings = [*TINY[:5], f"data.pool={run}", "data.paste_probability=1", "data.ignore_edge=0.05"]
        options = [part for setting in settings for part in ("--set", setting)]
        return call("train", "--train", part / "train.json", "--recipe", recipe, *options, *texts, "--workers", 0,
                    "--device", "cpu", "--out", tmp_path / "exp", *more)  # fmt: skip

    result = train()
    assert result.exit_code == 0, result.output
    assert "2 steps in" in result.stdout
    said = " ".join(result.stderr.split())
    assert "note: data.pool holds 3 instances of 1 of the set's categories; not in the set, and left out: drum" in said
    assert "all 2 steps taken before" in train().stdout
    other = train("--set", "data.pool=[]")
    assert other.exit_code == 2 and "data.pool" in other.stderr
    sorted((run / "parts").iterdir())[-1].unlink()
    changed = train()
    assert changed.exit_code == 2
    assert "the training set or the text embeddings have changed" in " ".join(changed.stderr.split())
