"""Trying settings on one canvas of the bundled model."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from PIL import Image
from starlette.testclient import TestClient

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.review.server import make_app
from mosaicfusion.review.trial import Trial

HOST, TOKEN = "127.0.0.1:8765", "secret-token"
SCRIPT = {"x-review": "1"}
QUICK = {"sampling": {"steps": 3}, "layout": {"kind": "grid"}}


def sampled(trial: Trial, names: str, settings: dict[str, Any]) -> dict[str, Any]:
    trial.start(names, settings)
    while trial.state["busy"]:
        time.sleep(0.02)
    return trial.state


@pytest.fixture(scope="module")
def trial() -> Trial:
    """A canvas with a teapot and a banana was sampled."""
    made = Trial("cpu")
    assert sampled(made, "teapot, banana", QUICK) == {"number": 1, "busy": False, "done": 3, "total": 3, "error": ""}
    return made


@pytest.fixture
def client(trial: Trial) -> Iterator[TestClient]:
    with TestClient(make_app(None, trial, TOKEN, frozenset({HOST})), base_url=f"http://{HOST}") as made:
        assert made.get(f"/?token={TOKEN}").url.path == "/try"
        yield made


def test_masks_change_without_sampling(trial: Trial) -> None:
    before = trial.state["number"]
    some, none = (trial.masks({"threshold": 0.5, "min_area": least, "max_area": 1}) for least in (0.0, 0.99))
    assert {one["category"] for one in some["objects"]} == {"teapot", "banana"}
    assert [one["reason"] for one in none["objects"]] == ["too small"] * 2
    assert Image.open(io.BytesIO(some["layer"])).mode == "RGBA"
    assert some["layer"] != none["layer"]
    assert trial.state["number"] == before
    with pytest.raises(MosaicFusionError, match="threshold"):
        trial.masks({"threshold": "much"})


def test_what_is_kept_gives_the_same_canvas(trial: Trial) -> None:
    kept = trial.keep({"threshold": 0.4})
    settings = yaml.safe_load(kept["yaml"])
    assert (settings["masks"]["threshold"], settings["sampling"]["steps"]) == (0.4, 3)
    assert "--categories 'teapot, banana' --config tried.yaml" in kept["command"]
    image = trial.image()
    again = Trial("cpu")
    settings["sampling"].pop("dtype")
    assert sampled(again, "teapot, banana", settings)["error"] == ""
    assert again.image() == image


def test_pictures_and_states_of_the_page(client: TestClient) -> None:
    assert "Try settings" in client.get("/try").text
    assert client.get("/try/image").headers["content-type"] == "image/jpeg"
    assert max(Image.open(io.BytesIO(client.get("/try/attention/1").content)).size) == 128
    assert client.get("/try/attention/7").json() == {"error": "there is no object 7"}
    assert client.get("/api/try/preset").json()["sampling"]["steps"] == 10
    assert client.post("/api/try/masks", json={"settings": {}}, headers=SCRIPT).json()["hw"]
    assert client.get("/api/objects").status_code == 404, "there is no run to review"


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"names": "zebra crossing"}, "does not know"),
        ({"names": "teapot", "settings": {"sampling": {"steps": 0}}}, "sampling.steps"),
        ({"names": "teapot", "settings": {"references": {"file": "secret.json"}}}, "reads no files"),
        ({"names": "teapot", "settings": {"layout": {"kind": "scene", "sizes": "like:secret.json"}}}, "reads no files"),
        ({"names": 3}, "no settings"),
    ],
)
def test_wishes_that_cannot_be_are_refused(client: TestClient, wish: dict[str, Any], message: str) -> None:
    answer = client.post("/api/try", json=wish, headers=SCRIPT)
    assert (answer.status_code, message in answer.json()["error"]) == (400, True), answer.text
    assert client.post("/api/try", json={"names": "teapot"}).status_code == 403


def test_an_error_while_sampling_is_said(trial: Trial) -> None:
    names = ", ".join(
        ["teapot", "banana", "kite", "drum", "bicycle", "umbrella", "tractor", "strawberry", "box", "bat"]
    )
    assert "at most 9 categories, not 10" in sampled(trial, names, QUICK)["error"]
    with pytest.raises(MosaicFusionError, match="no canvas was sampled yet"):
        Trial("cpu").image()
