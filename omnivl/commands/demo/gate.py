"""What stands before gradio: who may ask, for what, and with which files; whatever is not listed is refused.

Gradio has more addresses than the page needs, and had holes in some: files of the machine, fetching of URLs, proxies.
"""

import base64
import hmac
import json
import re
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .uploads import is_uploaded, names_other_files

HEALTH = '/health'
NAME = r'[A-Za-z0-9_-]+'
READ = re.compile(
    rf'/|{HEALTH}|/config|/theme\.css|/favicon\.ico|/manifest\.json|/(static|assets|svelte)/[\w./@-]+|/media/\d+\.(jpg|mp4)'
    rf'|/gradio_api/(info|app_id|startup-events|queue/data|upload_progress|heartbeat/{NAME}|call/{NAME}/{NAME})'
)
WRITE = re.compile(rf'/gradio_api/(queue/join|cancel|reset|call/(v2/)?{NAME})')
UPLOAD, FILE = '/gradio_api/upload', '/gradio_api/file='
JSON_BYTES = 1 << 20  # of a request without a file
ROOM_BYTES = 1 << 20  # of a request with a file, beside the file
LOOPBACK = ('127.0.0.1', 'localhost', '::1')
# The page may ask nobody but this server, whatever is written into it.
CONTENT = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
HEADERS = {
    b'content-security-policy': CONTENT.encode(),
    b'x-content-type-options': b'nosniff',
    b'referrer-policy': b'no-referrer',
}
FOREIGN = 'upload the picture or clip: addresses are not fetched, and files of this machine are not opened'


class Gate:
    """Lets through what the page needs.

    Args:
        app: What is behind it.
        uploads: Folder of the uploads, the only one whose files may be named.
        max_bytes: Size of the largest upload.
        auth: User and password, asked for by HTTP's basic authentication for all but ``/health``; None = not asked for.
        loopback: Whether it listens on this machine alone: other names of it are then refused, by which a page of
            somebody else could reach it in a browser here.
    """

    def __init__(
        self, app: ASGIApp, uploads: Path, max_bytes: int, auth: tuple[str, str] | None, loopback: bool
    ) -> None:
        self.app, self.uploads, self.max_bytes, self.loopback = app, uploads, max_bytes, loopback
        token = base64.b64encode(':'.join(auth).encode()).decode() if auth else None
        self.authorization = None if token is None else f'Basic {token}'

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope['type'] == 'lifespan':
            await self.app(scope, receive, send)
        elif scope['type'] == 'http':
            await self._answer(scope, receive, send)
        # A websocket is not accepted: the page needs none.

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)

        async def send_safely(message: Message) -> None:
            if message['type'] == 'http.response.start':
                kept = [(name, value) for name, value in message['headers'] if name.lower() not in HEADERS]
                message = dict(message, headers=[*kept, *HEADERS.items()])
            await send(message)

        refusal = self.refusal(scope['method'], scope['path'], headers)
        if refusal is None and WRITE.fullmatch(scope['path']) and scope['method'] == 'POST':
            body = await _read(receive, JSON_BYTES)
            refusal = self.body_refusal(body)
            receive = _again(body or b'', receive)
        if refusal is None:
            await self.app(scope, receive, send_safely)
            return
        status, reason = refusal
        asks = {'WWW-Authenticate': 'Basic realm="omnivl", charset="UTF-8"'} if status == 401 else None
        await JSONResponse(dict(error=reason), status, headers=asks)(scope, receive, send_safely)

    def refusal(self, method: str, path: str, headers: Headers) -> tuple[int, str] | None:
        """Say with which status and why a request is refused by its head; None if it is not."""
        host = urlsplit(f'//{headers.get("host", "")}')
        if self.loopback and host.hostname not in LOOPBACK:
            return 403, f'this page is at 127.0.0.1 only, not at {headers.get("host")!r} (--host)'
        origin = headers.get('origin')
        if origin is not None and urlsplit(origin).netloc != host.netloc:
            return 403, f'a page of {origin} may not ask here'
        given = headers.get('authorization', '')
        is_known = self.authorization is None or hmac.compare_digest(given.encode(), self.authorization.encode())
        if not is_known and path != HEALTH:
            return 401, 'user and password are needed'
        if method == 'POST' and path == UPLOAD:
            return self._length_refusal(headers)
        is_file = path.startswith(FILE) and is_uploaded(path.removeprefix(FILE), self.uploads)
        is_read = method in ('GET', 'HEAD') and '..' not in path and (is_file or READ.fullmatch(path))
        if is_read or (method == 'POST' and WRITE.fullmatch(path)):
            return None
        return 404, 'there is nothing here'

    def _length_refusal(self, headers: Headers) -> tuple[int, str] | None:
        length = headers.get('content-length', '')
        if not length.isdecimal():
            return 411, 'the size of an upload must be told (Content-Length)'
        if int(length) > self.max_bytes + ROOM_BYTES:
            return 413, f'the file is too large: allowed are {self.max_bytes / 1e6:g} MB (--max-mb)'
        return None

    def body_refusal(self, body: bytes | None) -> tuple[int, str] | None:
        """Say the same by the body, of which None stands for one that is too long."""
        if body is None:
            return 413, f'a request without a file may have {JSON_BYTES} bytes'
        try:
            is_foreign = names_other_files(json.loads(body), self.uploads)
        except (ValueError, RecursionError):
            return 400, 'the body is no JSON, or too deep'
        return (400, FOREIGN) if is_foreign else None


async def _read(receive: Receive, most: int) -> bytes | None:
    """Read the body of a request, None if it is longer than ``most`` bytes."""
    body, more = b'', True
    while more and len(body) <= most:
        message = await receive()
        body += message.get('body', b'')
        more = message.get('more_body', False)
    return body if len(body) <= most else None


def _again(body: bytes, receive: Receive) -> Receive:
    """Hand a body on that was read already, and then what comes after it."""
    messages: list[Message] = [dict(type='http.request', body=body, more_body=False)]

    async def next_message() -> Message:
        return messages.pop() if messages else await receive()

    return next_message
