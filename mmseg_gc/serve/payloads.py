"""What the page's own requests say: of files they may name those alone that were uploaded.

gradio fetches addresses that a request gives as a file's path, and in an app that is mounted into
another it reads whichever path of this machine it is told.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from mmseg_gc.serve.limits import Message, Receive, Refused, Send

MAX_BYTES = 1 << 18
AS_BYTES = ("/predict", "/gradio_api/upload")  # no JSON, but files
OF_PAGE = tuple(f"/gradio_api/{name}" for name in ("queue/join", "cancel", "reset"))
OF_BODY = (b"content-length", b"content-type", b"transfer-encoding")


class UploadedPathsOnly:
    """ASGI middleware that lets JSON pass whose every ``path`` lies in ``folder``, and no other.

    It passes to those of gradio's addresses alone to which the page sends. What passes is what was
    checked, written anew: parsers differ in doubtful cases.
    """

    def __init__(self, app: Callable, folder: Path):
        self.app = app
        self.folder = folder

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if (
            scope["type"] != "http"
            or scope["method"] in ("GET", "HEAD", "OPTIONS")
            or scope["path"] in AS_BYTES
        ):
            await self.app(scope, receive, send)
            return
        if scope["path"] not in OF_PAGE:
            raise Refused(404, "nothing takes that here; POST an image to /predict.")
        body = self._checked(await _whole(receive))
        kept = [(k, v) for k, v in scope["headers"] if k not in OF_BODY]
        length = (b"content-length", str(len(body)).encode())
        scope = {**scope, "headers": [*kept, length, (b"content-type", b"application/json")]}
        is_sent = False

        async def replay() -> Message:
            nonlocal is_sent
            if is_sent:
                return await receive()
            is_sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, replay, send)

    def _checked(self, body: bytes) -> bytes:
        if not body:
            return body
        try:
            content = json.loads(
                body.decode(), object_pairs_hook=self._object, parse_constant=_no_number
            )
        except (ValueError, RecursionError) as error:
            raise Refused(400, "the body is no JSON.") from error
        return json.dumps(content).encode()

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for key, value in pairs:
            if key == "path" and value is not None and not self._is_ours(value):
                raise Refused(403, "no path is taken from a client; upload the file.")
        return dict(pairs)

    def _is_ours(self, path: object) -> bool:
        try:
            return isinstance(path, str) and Path(path).resolve().is_relative_to(self.folder)
        except (OSError, ValueError):  # such as a path with a zero byte
            return False


async def _whole(receive: Receive) -> bytes:
    chunks, size, more = [], 0, True
    while more:
        message = await receive()
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > MAX_BYTES:
            raise Refused(413, "the body has more than the page ever sends.")
        more = message.get("more_body", False)
    return b"".join(chunks)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
