"""One GET that comes to an end, whatever the server does, and tells nobody's password."""

import base64
import re
import socket
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from io import BytesIO
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

SECONDS_OF_SILENCE = 30  # before an answer begins, or between two pieces of it
MIN_BYTES_A_SECOND = 1024  # over that time
CHUNK_BYTES = 1 << 20


def shown(address: object) -> str:
    """``address`` as it may be printed: a URL without user, password, query and fragment."""
    text = str(address)
    if "://" not in text:
        return text
    return re.sub("(?<=://)[^/?#]*@", "", re.split("[?#]", text)[0])


def without_secrets(text: str, url: str) -> str:
    """``text``, of what went wrong with ``url``, in one line without user, password and query."""
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    for secret in (login, login.partition(":")[2], parts.query, parts.fragment):
        if secret:
            text = text.replace(secret, "…")
    return " ".join(text.split())


def open_url(url: str, first_byte: int = 0) -> HTTPResponse:
    """The answer to a GET of ``url``, from ``first_byte`` on if the server can do that.

    User and password stand in ``url`` as ``https://user:password@host/…``; no other host gets them.
    Only HTTP and HTTPS are spoken, also where the server sends the request elsewhere.

    Raises:
        OSError: no connection, no answer in time, or one that tells of an error (`HTTPError`).
        HTTPException: what came is no HTTP.
    """
    parts = urlsplit(url)
    login, _, netloc = parts.netloc.rpartition("@")
    request = Request(
        urlunsplit((parts.scheme, netloc, parts.path, parts.query, "")),
        headers={"User-Agent": "mmseg_gc"},
    )
    if login:
        token = base64.b64encode(unquote(login).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {token}")
    if first_byte:
        request.add_header("Range", f"bytes={first_byte}-")
    opener = OpenerDirector()
    for handler in (
        ProxyHandler(),
        _HTTPHandler(),
        _HTTPSHandler(),
        _RedirectHandler(),
        HTTPErrorProcessor(),
        HTTPDefaultErrorHandler(),
        UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener.open(request, timeout=SECONDS_OF_SILENCE)


def chunks(response: HTTPResponse) -> Iterator[bytes]:
    """The body of ``response`` as it comes.

    Raises:
        OSError: too little came for `SECONDS_OF_SILENCE`.
    """
    begun, size = time.monotonic(), 0
    while chunk := response.read1(CHUNK_BYTES):
        yield chunk
        size += len(chunk)
        seconds = time.monotonic() - begun
        if seconds > SECONDS_OF_SILENCE:
            if size < MIN_BYTES_A_SECOND * seconds:
                raise TimeoutError(f"only {size} bytes came in {seconds:.0f} s")
            begun, size = time.monotonic(), 0


class _PromptConnection(HTTPConnection):
    """One whose answer begins in time: a socket's timeout begins anew with each byte."""

    def getresponse(self) -> HTTPResponse:
        connected, is_late = self.sock, threading.Event()

        def hang_up() -> None:
            is_late.set()
            socket.socket.shutdown(connected, socket.SHUT_RDWR)

        timer = threading.Timer(SECONDS_OF_SILENCE, hang_up)
        timer.daemon = True
        timer.start()
        try:
            response = super().getresponse()
        finally:
            timer.cancel()
        if is_late.is_set():  # what it had sent by then may look like an answer
            raise TimeoutError(f"no answer came in {SECONDS_OF_SILENCE} s")
        return response


class _PromptSecureConnection(_PromptConnection, HTTPSConnection):
    pass


class _HTTPHandler(HTTPHandler):
    def http_open(self, request: Request) -> HTTPResponse:
        return self.do_open(_PromptConnection, request)


class _HTTPSHandler(HTTPSHandler):
    def https_open(self, request: Request) -> HTTPResponse:
        return self.do_open(_PromptSecureConnection, request)


class _RedirectHandler(HTTPRedirectHandler):
    def http_error_302(self, request, response, code, message, headers):
        # The body, which may have no end, isn't read.
        response.close()
        return super().http_error_302(request, BytesIO(), code, message, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302
