"""The server: the page behind its gate, a health address, and small copies of what a search finds."""

import contextlib
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import uvicorn
from fastapi import FastAPI, HTTPException, Response

from omnivl.datasets.errors import BrokenVisualError
from omnivl.errors import OmniVLRuntimeError

from .gate import HEALTH, LOOPBACK, Gate
from .media import JPEG, MP4
from .page import theme
from .serving import Serving

STYLE = Path(__file__).with_name('page.css')
LAST_ANSWERS = 3  # seconds that answers in progress have when the server ends
KEPT = 'private, max-age=3600'


def make_app(serving: Serving, page: gr.Blocks) -> FastAPI:
    """Make the application of a page, see ``make_page``, and what is behind it; still without its gate."""
    app = FastAPI(openapi_url=None)

    @app.get(HEALTH)
    def health() -> dict[str, Any]:
        """Say that it is alive, and how many calls wait."""
        return serving.health() | dict(waiting=page._queue.get_status().queue_size)

    @app.get('/media/{place}.{kind}')
    def media(place: int, kind: str) -> Response:
        """Give the small copy of an item of the gallery."""
        try:
            content = serving.media(place, as_clip=kind == 'mp4')
        except BrokenVisualError as error:
            raise HTTPException(404, 'it cannot be read any more') from error
        if content is None:
            raise HTTPException(404, 'there is no such item')
        return Response(content, media_type=MP4 if kind == 'mp4' else JPEG, headers={'Cache-Control': KEPT})

    # No allowed_paths: uploads are shown without, and gradio would then show drawings with scripts in them as pages.
    return gr.mount_gradio_app(
        app,
        page,
        '/',
        app_kwargs=dict(docs_url=None, redoc_url=None),
        max_file_size=int(serving.limits.megabytes * 1e6),
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        mcp_server=False,
        enable_monitoring=False,
        theme=theme(),
        css_paths=STYLE,
    )


def make_gate(app: FastAPI, serving: Serving, uploads: Path, host: str, auth: tuple[str, str] | None) -> Gate:
    """Put the gate before an application; ``host`` is where it will listen, ``auth`` user and password."""
    return Gate(app, uploads, int(serving.limits.megabytes * 1e6), auth, loopback=host in LOOPBACK)


def listen(host: str, port: int) -> socket.socket:
    """Take an address, before anything takes time; one that cannot be had is an ``OmniVLRuntimeError``."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        server = socket.socket(family, kind, protocol)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(address)
        server.listen()  # or else a second page could take the same address while this one loads its model
    except OSError as error:
        raise OmniVLRuntimeError(
            f'{host}:{port} cannot be listened at ({error}): --port N takes another one, --port 0 a free one'
        ) from error
    return server


def address_of(listening: socket.socket) -> str:
    """Return the address of the page for a browser on this machine."""
    host, port = listening.getsockname()[:2]
    host = {'0.0.0.0': '127.0.0.1', '::': '::1'}.get(host, host)
    return f'http://[{host}]:{port}' if ':' in host else f'http://{host}:{port}'


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM end the work inside as Ctrl-C does, so that what has to be cleaned up is."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            yield
    finally:
        signal.signal(signal.SIGTERM, before)


def serve(gate: Gate, listening: socket.socket) -> None:
    """Answer until a signal comes; the address is the last line that is printed."""
    config = uvicorn.Config(
        gate,
        log_level='warning',
        timeout_graceful_shutdown=LAST_ANSWERS,
        lifespan='on',
        ws='none',
    )
    server = uvicorn.Server(config)
    config.load()
    print(address_of(listening), flush=True)
    server.run(sockets=[listening])
