import asyncio
import json

import pytest

from mmseg_gc.serve import limits as module
from mmseg_gc.serve.limits import FORM_BYTES, Guard, Limits, Rate

LIMITS = Limits(max_bytes=1000, rate=2, seconds=5)


def ask(guard, *chunks: bytes, headers=(), method="POST", path="/predict", client="1.2.3.4"):
    """The status, headers and body that ``guard`` answers to a body of ``chunks``."""
    scope = dict(type="http", method=method, path=path, client=(client, 1), headers=list(headers))
    waiting = [
        {"type": "http.request", "body": chunk, "more_body": i + 1 < len(chunks)}
        for i, chunk in enumerate(chunks)
    ]
    sent = []

    async def receive():
        if not waiting:
            await asyncio.sleep(10)
        return waiting.pop(0)

    async def send(message):
        sent.append(message)

    async def run():
        await guard(scope, receive, send)

    asyncio.run(run())
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], dict(sent[0]["headers"]), body


@pytest.fixture
def seen():
    return []


@pytest.fixture
def guard(seen, monkeypatch):
    monkeypatch.setattr(module, "SECONDS_TO_READ", 0.05)

    async def app(scope, receive, send):
        size, more = 0, True
        while more and scope["method"] == "POST":
            try:
                message = await receive()
            except Exception as error:  # as gradio does, which answers by itself
                await send({"type": "http.response.start", "status": 500, "headers": []})
                await send({"type": "http.response.body", "body": b"?"})
                raise RuntimeError from error
            size, more = size + len(message["body"]), message["more_body"]
        seen.append(size)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"fine"})

    return Guard(app, LIMITS, bytes_kept=lambda: 0)


def test_rate_is_a_burst_and_then_one_when_it_is_due():
    now = [0.0]
    rate = Rate(3, clock=lambda: now[0])
    assert [rate.seconds_to_wait("a") for _ in range(4)] == [0, 0, 0, 20]
    assert rate.seconds_to_wait("b") == 0
    now[0] = 15.0
    assert rate.seconds_to_wait("a") == pytest.approx(5)
    now[0] = 20.0
    assert [rate.seconds_to_wait("a") > 0 for _ in range(2)] == [False, True]


def test_rate_forgets_clients_rather_than_memory(monkeypatch):
    monkeypatch.setattr(module, "MAX_CLIENTS", 2)
    rate = Rate(1, clock=lambda: 0.0)
    assert [rate.seconds_to_wait(name) for name in "abc"] == [0, 0, 0]
    assert len(rate._clients) == 2


def test_what_is_in_order_passes_with_the_headers_of_every_answer(guard, seen):
    status, headers, body = ask(guard, b"a" * 10, b"b" * 5)
    assert (status, body, seen) == (200, b"fine", [15])
    assert b"default-src 'self'" in headers[b"content-security-policy"]
    assert headers[b"x-content-type-options"] == b"nosniff"


def test_a_length_is_refused_before_the_body_is_read(guard, seen):
    told = [(b"content-length", str(1000 + FORM_BYTES + 1).encode())]
    status, _, body = ask(guard, b"", headers=told)
    assert (status, seen) == (413, []) and "0.000953674 MiB" in json.loads(body)["error"]
    assert ask(guard, b"", headers=[(b"content-length", b"-1")])[0] == 400


def test_a_body_is_refused_where_it_gets_too_long(guard, seen):
    status, _, body = ask(guard, *[b"x" * (FORM_BYTES // 2)] * 4)
    assert (status, seen) == (413, []) and b"send a smaller one" in body


def test_a_slow_body_is_refused(guard, monkeypatch):
    monkeypatch.setattr(module, "SECONDS_OF_SILENCE", 0.05)
    status, _, body = ask(guard)
    assert status == 408 and b"too slowly" in body


def test_too_many_requests(guard):
    assert [ask(guard, b"x")[0] for _ in range(3)] == [200, 200, 429]
    status, headers, body = ask(guard, b"x")
    assert headers[b"retry-after"] == b"30" and b"more than 2 requests in a minute" in body
    assert ask(guard, b"x", client="5.6.7.8")[0] == 200
    assert ask(guard, b"x", path="/gradio_api/upload")[0] == 200  # counted by themselves
    assert ask(guard, method="GET")[0] == 200


def test_no_upload_while_the_folder_is_full(guard):
    guard._bytes_kept = lambda: 16_001
    assert ask(guard, b"x")[0] == 503


def test_no_more_bodies_at_once_than_memory_holds():
    async def run():
        held, sent = asyncio.Event(), []

        async def app(scope, receive, send):
            await held.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            sent.append(message.get("status"))

        guard = Guard(app, Limits(rate=100), bytes_kept=lambda: 0)
        scope = dict(type="http", method="POST", path="/predict", client=("a", 1), headers=[])
        tasks = [asyncio.create_task(guard(scope, receive, send)) for _ in range(17)]
        await asyncio.sleep(0.01)
        refused = list(sent)
        held.set()
        await asyncio.gather(*tasks)
        await guard(scope, receive, send)
        return refused[0], sent.count(200)

    assert asyncio.run(run()) == (503, 17)


def test_an_error_of_the_app_stays_one():
    async def app(scope, receive, send):
        raise KeyError("x")

    with pytest.raises(KeyError):
        ask(Guard(app, LIMITS, bytes_kept=lambda: 0), b"x")


def test_websockets_are_not_answered():
    asyncio.run(Guard(None, LIMITS, bytes_kept=lambda: 0)({"type": "websocket"}, None, None))
