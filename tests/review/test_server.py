"""Answers of the page's server, and whom it lets in."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from mosaicfusion.review.desk import Desk
from mosaicfusion.review.server import COOKIE, make_app
from mosaicfusion.review.trial import Trial
from mosaicfusion.run.folder import RunFolder

HOST, TOKEN = "127.0.0.1:8765", "secret-token"
SCRIPT = {"x-review": "1"}


@pytest.fixture
def client(desk: Desk) -> Iterator[TestClient]:
    """A browser that has opened the address."""
    with TestClient(make_app(desk, Trial(), TOKEN, frozenset({HOST})), base_url=f"http://{HOST}") as made:
        assert made.get(f"/?token={TOKEN}").status_code == 200
        yield made


def test_the_token_opens_the_page_and_leaves_the_address(client: TestClient) -> None:
    page = client.get("/")
    assert page.status_code == 200 and TOKEN not in str(page.url)
    assert "script-src 'self'" in page.headers["content-security-policy"]
    cookie = client.get(f"/?token={TOKEN}", follow_redirects=False).headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie


@pytest.mark.parametrize(
    ("headers", "cookie", "status"),
    [
        ({}, "", 403),
        ({}, "wrong", 403),
        ({"host": "evil.example"}, TOKEN, 421),
        ({"host": HOST}, TOKEN, 200),
    ],
)
def test_others_are_kept_out(desk: Desk, headers: dict[str, str], cookie: str, status: int) -> None:
    stranger = TestClient(make_app(desk, Trial(), TOKEN, frozenset({HOST})), base_url=f"http://{HOST}")
    stranger.cookies.set(COOKIE, cookie)
    for path in ("/api/state", "/api/objects", "/image/0", "/thumbnail/0/0", "/static/page.js"):
        assert stranger.get(path, headers=headers).status_code == status


@pytest.mark.parametrize(
    "headers",
    [{}, {"origin": "http://evil.example", **SCRIPT}, {"origin": "null", **SCRIPT}, {"content-type": "text/plain"}],
)
def test_other_sites_cannot_decide(client: TestClient, desk: Desk, headers: dict[str, str]) -> None:
    body = {"verdict": "reject", "places": [[0, 0]]}
    assert client.post("/api/decide", json=body, headers=headers).status_code == 403
    assert not desk.reviews
    assert client.post("/api/decide", json=body, headers={"origin": f"http://{HOST}", **SCRIPT}).json() == {"count": 1}


def test_pages_of_objects(client: TestClient) -> None:
    found = client.get("/api/objects?sort=quality&order=descending&limit=2").json()
    assert (found["total"], [row["quality"] for row in found["rows"]]) == (9, [0.94, 0.93])
    assert client.get("/api/objects?sort=colour").json() == {
        "error": "sort='colour' is none of canvas, quality, semantics, score, size"
    }
    assert client.get("/api/objects?least=much").status_code == 400
    state = client.get("/api/state").json()
    assert (state["objects"], state["reasons"]["kept"], state["reason_names"]) == (10, 9, {"too_small": "too small"})


def test_decisions_and_their_undoing(client: TestClient, run: RunFolder) -> None:
    rule = {"verdict": "reject", "query": {"sort": "quality", "most": "0.6"}}
    assert client.post("/api/decide", json=rule, headers=SCRIPT).json() == {"count": 4}
    assert client.post("/api/write", json={}, headers=SCRIPT).json() == {"instances": 5, "canvases": 5}
    assert client.post("/api/undo", json={}, headers=SCRIPT).json() == {"count": 4}
    for bad in (
        b"{",
        b'{"verdict": 3}',
        b'{"verdict": "reject", "places": [["a", 0]]}',
        b'{"verdict": "perhaps", "places": [[0, 0]]}',
    ):
        assert "error" in client.post("/api/decide", content=bad, headers=SCRIPT).json()
    assert client.post("/api/decide", content=b" " * 2**21, headers=SCRIPT).status_code == 413


def test_pictures(client: TestClient, run: RunFolder) -> None:
    for path, size in (("/thumbnail/0/0?mask", 192), ("/thumbnail/0/1", 192), ("/image/0", None), ("/layer/0", None)):
        answer = client.get(path)
        assert answer.status_code == 200, path
        image = Image.open(io.BytesIO(answer.content))
        assert size is None or max(image.size) == size
    assert sorted(file.name for file in (run.path / "thumbnails/000").iterdir()) == [
        "000000000000-0-mask.webp",
        "000000000000-1.webp",
    ]
    (run.path / run.image_name(0)).unlink()
    assert client.get("/thumbnail/0/0?mask").status_code == 200, "it was made before"
    for path in (
        "/thumbnail/99/0",
        "/thumbnail/0/9",
        "/image/99",
        "/image/../run.json",
        "/image/0/../../run.json",
        "/static/../page.html.j2",
    ):
        answer: Any = client.get(path)
        assert answer.status_code in (400, 404), path
