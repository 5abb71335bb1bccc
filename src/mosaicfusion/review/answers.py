"""Answers of the server: JSON, and errors in words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response


def to_json(value: Any, status: int = 200) -> Response:
    """An answer in JSON; bytes become base64."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")


async def say_error(request: Request, error: Exception) -> Response:
    """Answer with the words of a :class:`MosaicFusionError`."""
    return to_json({"error": str(error)}, 400)


def answer(ask: Callable[[Request], Any]) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that answers with the value of a function, which may take its time."""

    async def endpoint(request: Request) -> Response:
        return to_json(await run_in_threadpool(ask, request))

    return endpoint


def picture(
    make: Callable[[Request], bytes], media_type: str, cache: str = "no-store"
) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that answers with the bytes of a picture; ``cache``: how long the browser keeps it, by default not at all."""

    async def endpoint(request: Request) -> Response:
        data = await run_in_threadpool(make, request)
        return Response(data, media_type=media_type, headers={"cache-control": cache})

    return endpoint
