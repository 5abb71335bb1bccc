"""The answers to the page on which settings are tried."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mosaicfusion.config import RunConfig
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.generation.presets import make_config
from mosaicfusion.review.answers import answer, picture, to_json
from mosaicfusion.review.trial import Trial


class _Wish(msgspec.Struct):
    """A canvas that the page asks for, or masks of the last one."""

    names: str = ""
    settings: dict[str, Any] = {}


def trial_routes() -> list[Route]:
    """All routes below ``/api/try``."""
    return [
        Route("/api/try", _start, methods=["POST"]),
        Route("/api/try/state", answer(lambda request: _trial(request).state)),
        Route("/api/try/preset", answer(_preset)),
        Route("/api/try/masks", _masks, methods=["POST"]),
        Route("/api/try/keep", _keep, methods=["POST"]),
        Route("/try/image", picture(lambda request: _trial(request).image(), "image/jpeg")),
        Route(
            "/try/attention/{k:int}",
            picture(lambda request: _trial(request).attention(request.path_params["k"]), "image/webp"),
        ),
    ]


def _trial(request: Request) -> Trial:
    trial: Trial = request.app.state.trial
    return trial


async def _wish(request: Request) -> _Wish:
    try:
        return msgspec.json.decode(await request.body(), type=_Wish)
    except msgspec.DecodeError as error:
        raise MosaicFusionError(f"no settings: {error}") from None


async def _start(request: Request) -> Response:
    wish = await _wish(request)
    return to_json({"number": await run_in_threadpool(_trial(request).start, wish.names, wish.settings)})


async def _masks(request: Request) -> Response:
    wish = await _wish(request)
    return to_json(await run_in_threadpool(_trial(request).masks, wish.settings))


async def _keep(request: Request) -> Response:
    wish = await _wish(request)
    return to_json(await run_in_threadpool(_trial(request).keep, wish.settings))


def _preset(request: Request) -> dict[str, Any]:
    """The values that a model's preset has, to fill the form."""
    config: RunConfig = make_config(None, {"model": request.query_params.get("model") or None})
    return config.model_dump(mode="json", include={"model", "seed", "prompt", "sampling", "masks"})
