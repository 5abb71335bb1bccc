"""Running the server until it is stopped."""

from __future__ import annotations

import socket
import webbrowser
from collections.abc import Callable

import uvicorn

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.review.desk import Desk
from mosaicfusion.review.server import make_app, new_token
from mosaicfusion.review.trial import Trial


class _Server(uvicorn.Server):
    """Says when it is ready."""

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_start()


def serve(
    desk: Desk | None,
    trial: Trial,
    host: str = "127.0.0.1",
    port: int = 8765,
    *,
    on_ready: Callable[[str], None] = print,
    open_browser: bool = True,
) -> None:
    """Serve the pages until Ctrl-C; without a ``desk`` only the one to try settings on.

    ``on_ready`` is called with the address, which holds the token.

    Raises :class:`MosaicFusionError` if the address cannot be listened on.
    """
    listener = _listen(host, port)
    own_port, token = listener.getsockname()[1], new_token()
    names = {host, "127.0.0.1", "localhost"} if host in ("127.0.0.1", "localhost", "0.0.0.0") else {host}
    if host == "0.0.0.0":
        names |= {socket.gethostname(), _own_address()}
    hosts = frozenset(f"{name}:{own_port}" for name in names)
    address = f"http://{host if host != '0.0.0.0' else _own_address()}:{own_port}/?token={token}"

    def start() -> None:
        on_ready(address)
        if open_browser:
            webbrowser.open(address)

    config = uvicorn.Config(
        make_app(desk, trial, token, hosts), log_level="error", access_log=False, server_header=False
    )
    try:
        _Server(config, start).run(sockets=[listener])
    except KeyboardInterrupt:
        pass
    finally:
        listener.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        raise MosaicFusionError(
            f"cannot listen on {host} port {port}: {error.strerror or error}; --port 0 takes one that is free"
        ) from None
    return listener


def _own_address() -> str:
    """The address of this machine in its network."""
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError:
        return "127.0.0.1"
