"""What a client may send, how much and how often, asked before it is read."""

import asyncio
import contextlib
import json
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

SECONDS_OF_SILENCE = 30.0  # in the middle of a body
SECONDS_TO_READ = 2.0  # of an upload that is refused
MAX_CLIENTS = 10_000  # whose requests are counted; the longest silent is forgotten first
FORM_BYTES = 1 << 20  # what a form has around its file
UPLOADS_AT_A_TIME = 16  # of the largest size, in memory, and in the folder of temporary files
# The page loads nothing of other hosts, also where one of its parts would.
HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'self'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@dataclass(frozen=True)
class Limits:
    """What one request may be, and how many there may be.

    ``rate`` is requests of one address in a minute, ``seconds`` what a request may take, waiting
    included, ``queue`` how many wait or run at a time.
    """

    max_bytes: int = 64 << 20
    max_pixels: int = 40_000_000
    max_frames: int = 600
    rate: int = 30
    seconds: float = 300.0
    queue: int = 8


class Refused(Exception):
    """A request isn't answered: the HTTP ``status``, and a sentence."""

    def __init__(self, status: int, sentence: str, retry_after: float = 0.0):
        super().__init__(sentence)
        self.status = status
        self.retry_after = retry_after


class Rate:
    """Count requests of each client: ``per_minute`` at once, then one whenever one is due."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic):
        self._burst = float(per_minute)
        self._each = 60.0 / per_minute
        self._clock = clock
        self._clients: OrderedDict[object, tuple[float, float]] = OrderedDict()

    def seconds_to_wait(self, client: object) -> float:
        """0 where the request is in order and counted, else after how many seconds one is."""
        now = self._clock()
        left, since = self._clients.pop(client, (self._burst, now))
        left = min(self._burst, left + (now - since) / self._each)
        wait = 0.0 if left >= 1 else (1 - left) * self._each
        self._clients[client] = (left if wait else left - 1, now)
        if len(self._clients) > MAX_CLIENTS:
            self._clients.popitem(last=False)
        return wait


class Guard:
    """ASGI middleware: rate, size and speed of requests with a body, and headers of answers.

    ``bytes_kept`` says how much the folder of temporary files holds.
    """

    def __init__(self, app: Callable, limits: Limits, bytes_kept: Callable[[], int]):
        self.app = app
        self.limits = limits
        self._bytes_kept = bytes_kept
        self._rate = Rate(limits.rate)
        self._under_way = 0  # requests with a body, which memory holds

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        has_body = scope["method"] not in ("GET", "HEAD", "OPTIONS")
        self._under_way += has_body
        try:
            await self._answer(scope, receive, send, has_body)
        finally:
            self._under_way -= has_body

    async def _answer(self, scope: Message, receive: Receive, send: Send, has_body: bool) -> None:
        body = _Body(receive, self.limits)
        answer = _Answer(send, body)
        try:
            if has_body:
                self._require_order(scope)
            await self.app(scope, body, answer)
        except Refused as refused:
            body.refused = body.refused or refused
        except Exception:
            if body.refused is None:  # else it is what came of it
                raise
        if body.refused is not None and not answer.started:
            await _refuse(body.refused, body, send)

    def _require_order(self, scope: Message) -> None:
        if self._under_way > UPLOADS_AT_A_TIME:
            raise Refused(503, "too many requests come at once; try again soon.", 10)
        # The page sends a file and then what to do with it, which counts as one request.
        kind = "upload" if scope["path"].rstrip("/").endswith("/upload") else "work"
        wait = self._rate.seconds_to_wait(((scope.get("client") or ("",))[0], kind))
        if wait:
            raise Refused(
                429,
                f"more than {self.limits.rate} requests in a minute; wait {math.ceil(wait)} s.",
                wait,
            )
        given = dict(scope["headers"]).get(b"content-length")
        if given is not None:
            if not given.isdigit():
                raise Refused(400, "Content-Length is no number of bytes.")
            if int(given) > self.limits.max_bytes + FORM_BYTES:
                raise too_large(self.limits)
        if self._bytes_kept() > UPLOADS_AT_A_TIME * self.limits.max_bytes:
            raise Refused(503, "too many uploads are kept at the moment; try in ten minutes.", 600)


def too_large(limits: Limits) -> Refused:
    return Refused(
        413, f"the upload has more than {limits.max_bytes / 2**20:g} MiB; send a smaller one."
    )


class _Body:
    """A request's body, which ends with a refusal where it is too long or too slow."""

    def __init__(self, receive: Receive, limits: Limits):
        self.refused: Refused | None = None
        self._receive = receive
        self._limits = limits
        self._num_bytes = 0
        self._is_whole = False
        self._deadline = time.monotonic() + limits.seconds

    async def skip(self) -> None:
        """Read the rest, for nothing."""
        while not self._is_whole:
            self._is_whole = not (await self._receive()).get("more_body", False)

    async def __call__(self) -> Message:
        if self._is_whole:
            return await self._receive()
        patience = min(SECONDS_OF_SILENCE, self._deadline - time.monotonic())
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, patience))
        except TimeoutError:
            self.refused = Refused(408, "the upload came too slowly; send it again.")
            raise self.refused from None
        self._num_bytes += len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        if self._num_bytes > self._limits.max_bytes + FORM_BYTES:
            self.refused = too_large(self._limits)
            raise self.refused
        return message


class _Answer:
    """What is sent, with the headers of every answer; nothing once the body is refused."""

    def __init__(self, send: Send, body: _Body):
        self.started = False
        self._send = send
        self._body = body

    async def __call__(self, message: Message) -> None:
        if self._body.refused is not None and not self.started:
            return
        if message["type"] == "http.response.start":
            self.started = True
            message = {**message, "headers": [*message.get("headers", ()), *HEADERS]}
        await self._send(message)


async def _refuse(refused: Refused, body: "_Body", send: Send) -> None:
    told = json.dumps({"error": str(refused)}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(told)).encode()),
        (b"connection", b"close"),
        *HEADERS,
    ]
    if refused.retry_after:
        headers.append((b"retry-after", str(math.ceil(refused.retry_after)).encode()))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": told, "more_body": True})
    # A connection that is closed while a client sends loses the answer on its way.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SECONDS_TO_READ):
            await body.skip()
    await send({"type": "http.response.body", "body": b""})
