"""The page's server: on this machine only, behind a token, with no file but those of one run."""

from __future__ import annotations

import hmac
import secrets
from pathlib import Path
from typing import Any

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.generation.build_dataset import build_dataset
from mosaicfusion.masks.rejection import reason_name
from mosaicfusion.review.answers import answer, picture, say_error, to_json
from mosaicfusion.review.desk import Desk
from mosaicfusion.review.objects import Query
from mosaicfusion.review.pictures import layer, thumbnail
from mosaicfusion.review.trial import Trial
from mosaicfusion.review.trial_routes import trial_routes
from mosaicfusion.run.reviews import Place

COOKIE = "mosaicfusion-review"
_KEPT = "max-age=3600"  # by the browser: pictures of a run do not change
_MOST_BYTES = 2**20  # of a request
_TEMPLATES = Environment(
    loader=PackageLoader("mosaicfusion.review"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)
_POLICY = "default-src 'self'; img-src 'self' data:; style-src 'self'; script-src 'self'; frame-ancestors 'none'"


class _Decision(msgspec.Struct):
    """A decision as the page sends it: a verdict on places, or on all that a query asks for."""

    verdict: str
    places: list[tuple[int, int | None]] = []
    query: dict[str, str] | None = None
    category: str = ""
    why: str = ""


def new_token() -> str:
    """A token that cannot be guessed."""
    return secrets.token_urlsafe(24)


def make_app(desk: Desk | None, trial: Trial, token: str, hosts: frozenset[str]) -> Starlette:
    """The pages and their answers. ``hosts``: names, with port, under which they may be asked for.

    Without a ``desk`` there is only the page to try settings on.
    """
    review_routes = [
        Route("/", _page),
        Route("/api/state", answer(_state)),
        Route("/api/objects", answer(_objects)),
        Route("/api/canvas/{canvas:int}", answer(_about)),
        Route("/api/decide", _decide, methods=["POST"]),
        Route("/api/undo", _undo, methods=["POST"]),
        Route("/api/write", _write, methods=["POST"]),
        Route("/thumbnail/{canvas:int}/{region:int}", picture(_thumbnail, "image/webp", _KEPT)),
        Route("/image/{canvas:int}", picture(_image, "image/jpeg", _KEPT)),
        Route("/layer/{canvas:int}", picture(_layer, "image/png", _KEPT)),
    ]
    first = [] if desk else [Route("/", lambda request: RedirectResponse("/try", 303))]
    static = Mount("/static", StaticFiles(packages=[("mosaicfusion.review", "static")]))
    app = Starlette(
        routes=[*(review_routes if desk else first), Route("/try", _try_page), *trial_routes(), static],
        middleware=[Middleware(_Guard, token=token, hosts=hosts)],
        exception_handlers={MosaicFusionError: say_error},
    )
    app.state.desk, app.state.trial = desk, trial
    return app


class _Guard:
    """Lets nobody in but who has the token, asks for this host, and comes from this page.

    A page of another site can neither read answers nor send decisions: its requests have another origin, no cookie (which is
    ``SameSite=Strict``), and not the header that only a script of this page can set.
    """

    def __init__(self, app: ASGIApp, token: str, hosts: frozenset[str]) -> None:
        self.app, self.token, self.hosts = app, token, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # the start and the end of the server; there are no web sockets
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        refusal = self._refusal(request)
        if refusal is not None:
            await refusal(scope, receive, send)
            return

        async def send_guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [
                    (b"content-security-policy", _POLICY.encode()),
                    (b"x-content-type-options", b"nosniff"),
                    (b"referrer-policy", b"no-referrer"),
                    (b"cross-origin-resource-policy", b"same-origin"),
                ]
            await send(message)

        await self.app(scope, receive, send_guarded)

    def _refusal(self, request: Request) -> Response | None:
        if request.headers.get("host", "") not in self.hosts:
            return PlainTextResponse("unknown host\n", 421)
        given = request.query_params.get("token", "")
        if request.url.path == "/" and hmac.compare_digest(given.encode(), self.token.encode()):
            welcome = RedirectResponse("/", 303)  # the token leaves the address bar
            welcome.set_cookie(COOKIE, self.token, httponly=True, samesite="strict", path="/")
            return welcome
        if not hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), self.token.encode()):
            return PlainTextResponse("open the address that `mosaicfusion review` printed: it holds a token\n", 403)
        if request.method == "POST":
            origin = request.headers.get("origin")
            if request.headers.get("x-review") != "1" or (origin and origin.split("://")[-1] not in self.hosts):
                return PlainTextResponse("this request does not come from the page\n", 403)
            if int(request.headers.get("content-length") or 0) > _MOST_BYTES:
                return PlainTextResponse("too much at once\n", 413)
        return None


async def _try_page(request: Request) -> Response:
    page = _TEMPLATES.get_template("try.html.j2").render(run=request.app.state.desk is not None)
    return HTMLResponse(page)


async def _page(request: Request) -> Response:
    desk: Desk = request.app.state.desk
    page = _TEMPLATES.get_template("page.html.j2").render(run=desk.run.path.resolve().name, who=desk.who)
    return HTMLResponse(page)


def _state(request: Request) -> dict[str, Any]:
    desk: Desk = request.app.state.desk
    desk.refresh()
    state = desk.state()
    return {**state, "reason_names": {name: reason_name(name) for name in state["reasons"] if name != "kept"}}


def _about(request: Request) -> dict[str, Any]:
    desk: Desk = request.app.state.desk
    return desk.about(request.path_params["canvas"])


def _objects(request: Request) -> dict[str, Any]:
    desk: Desk = request.app.state.desk
    values = dict(request.query_params)
    try:
        offset, limit = max(0, int(values.get("offset", 0))), max(1, int(values.get("limit", 200)))
    except ValueError:
        raise MosaicFusionError("offset and limit are whole numbers") from None
    return desk.find(Query.parse(values), offset, limit)


async def _decide(request: Request) -> Response:
    desk: Desk = request.app.state.desk
    try:
        decision = msgspec.json.decode(await request.body(), type=_Decision)
    except msgspec.DecodeError as error:
        raise MosaicFusionError(f"no decision: {error}") from None
    places: list[Place] = list(decision.places)

    def decide() -> int:
        if decision.query is None:
            return desk.decide(places, decision.verdict, decision.category, decision.why)
        return desk.decide_all(Query.parse(decision.query), decision.verdict, decision.category, decision.why)

    return to_json({"count": await run_in_threadpool(decide)})


async def _undo(request: Request) -> Response:
    return to_json({"count": await run_in_threadpool(request.app.state.desk.undo)})


async def _write(request: Request) -> Response:
    desk: Desk = request.app.state.desk
    summary = await run_in_threadpool(build_dataset, desk.run)
    return to_json({"instances": summary.instances, "canvases": summary.used})


def _thumbnail(request: Request) -> bytes:
    desk: Desk = request.app.state.desk
    canvas, region = request.path_params["canvas"], request.path_params["region"]
    record = desk.objects.record(canvas)
    if region >= len(record.regions):
        raise MosaicFusionError(f"canvas {canvas} has no object {region}")
    return thumbnail(desk.run, record, region, "mask" in request.query_params)


def _image(request: Request) -> bytes:
    desk: Desk = request.app.state.desk
    record = desk.objects.record(request.path_params["canvas"])
    if record.file_name is None:
        raise MosaicFusionError(f"canvas {record.index} has no image")
    path: Path = desk.run.path / record.file_name
    return path.read_bytes()


def _layer(request: Request) -> bytes:
    desk: Desk = request.app.state.desk
    return layer(desk.objects.record(request.path_params["canvas"]))
