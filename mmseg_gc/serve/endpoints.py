"""Plain HTTP: ``POST /predict`` an image's bytes or a form, ``GET /health``."""

import asyncio
import json
import logging
from collections.abc import Mapping
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from mmseg_gc.apis.predict_files import put_table
from mmseg_gc.apis.prediction import OPACITY, Prediction
from mmseg_gc.config import did_you_mean
from mmseg_gc.serve.limits import Limits, Refused
from mmseg_gc.serve.uploads import Scratch
from mmseg_gc.serve.worker import Asked, Worker
from mmseg_gc.version import __version__

JSON, PNG = "application/json", "image/png"
# What each format is sent as, and which it is where Accept alone tells: the first that fits.
FORMATS = {
    "ids": PNG,
    "areas": JSON,
    "geojson": "application/geo+json",
    "csv": "text/csv",
    "overlay": PNG,
    "colour": PNG,
    "confidence": PNG,
    "entropy": PNG,
    "coco": JSON,
    "labelme": JSON,
}
KEYS = {"format", "opacity", "classes", "aug_test"}
SWITCH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
log = logging.getLogger("mmseg_gc.serve")


def add_endpoints(app: FastAPI, worker: Worker, limits: Limits, scratch: Scratch) -> None:
    """Let ``app`` answer ``/predict`` and ``/health``."""

    @app.exception_handler(Refused)
    async def refuse(request: Request, refused: Refused) -> JSONResponse:
        headers = {"retry-after": f"{refused.retry_after:.0f}"} if refused.retry_after else None
        return JSONResponse({"error": str(refused)}, refused.status, headers)

    @app.get("/health")
    async def health() -> dict:
        return {
            "status": "ok",
            "version": __version__,
            "classes": list(worker.classes),
            "requests": worker.num_requests,
        }

    @app.post("/predict")
    async def predict(request: Request) -> Response:
        try:
            async with asyncio.timeout(limits.seconds):
                asked, name = _asked(request, worker.classes)
                content = await _image_of(request)
                return await run_in_threadpool(_respond, worker, content, asked, name, scratch)
        except (Refused, HTTPException):
            raise
        except TimeoutError as error:
            raise Refused(504, f"this took longer than {limits.seconds:g} s.") from error
        except Exception as error:  # its text may tell of this machine
            log.exception("POST /predict")
            raise Refused(500, "the server failed here; its log says where.") from error


def classes_by_name(names: list[str], classes: tuple[str, ...]) -> frozenset[int]:
    """The ids of ``names``.

    Raises:
        Refused: one isn't a class.
    """
    for name in names:
        if name not in classes:
            raise Refused(400, f"no class is called {name!r}{did_you_mean(name, classes)}")
    return frozenset(classes.index(name) for name in names)


def write_result(prediction: Prediction, name: str, path: Path) -> Path:
    """Write what the format ``name`` is to ``path``."""
    if name == "csv":
        put_table(prediction.areas(), path)
    else:
        prediction.save(path, name)
    return path


def _asked(request: Request, classes: tuple[str, ...]) -> tuple[Asked, str]:
    query = request.query_params
    for key in query:
        if key not in KEYS:
            raise Refused(400, f"/predict takes no {key!r}; it takes {', '.join(sorted(KEYS))}.")
    name = query.get("format") or _format_of(request.headers.get("accept", "*/*"))
    if name not in FORMATS:
        raise Refused(400, f"no format is called {name!r}{did_you_mean(name, FORMATS)}")
    try:
        opacity = float(query.get("opacity", OPACITY))
    except ValueError:
        opacity = -1.0
    if not 0 <= opacity <= 1:
        raise Refused(400, f"opacity {query['opacity']!r} is no number from 0 to 1.")
    switch = SWITCH.get(query.get("aug_test", "0").lower())
    if switch is None:
        raise Refused(400, f"aug_test {query['aug_test']!r} is neither true nor false.")
    drawn = None
    if query.get("classes"):
        drawn = classes_by_name(query["classes"].split(","), classes)
    outputs = () if name == "csv" else (name,)
    return Asked(switch, opacity, drawn, outputs), name


def _format_of(accept: str) -> str:
    """The format that an Accept header asks for.

    Raises:
        Refused: there is none.
    """
    wanted = []
    for part in accept.lower().split(","):
        kind, *options = (word.strip() for word in part.split(";"))
        weights = [option[2:] for option in options if option.startswith("q=")]
        try:
            weight = float(weights[0]) if weights else 1.0
        except ValueError:
            weight = 0.0
        if weight > 0:
            wanted.append((weight, kind))
    for _, kind in sorted(wanted, key=lambda one: -one[0]):
        for name, sent in FORMATS.items():
            if kind in ("*/*", sent, f"{sent.split('/')[0]}/*"):
                return name
    kinds = ", ".join(dict.fromkeys(FORMATS.values()))
    raise Refused(406, f"Accept {accept!r} is none of {kinds}; or say ?format=.")


async def _image_of(request: Request) -> bytes:
    """The body, or the one file of a form, whose name is looked at by nobody."""
    if not request.headers.get("content-type", "").startswith("multipart/"):
        return await request.body()
    async with request.form(max_files=1, max_fields=4) as form:
        files = [value for value in form.values() if isinstance(value, UploadFile)]
        if not files:
            raise Refused(400, "the form has no file; send one, as by curl -F image=@street.jpg.")
        return await files[0].read()


def _respond(worker: Worker, content: bytes, asked: Asked, name: str, scratch: Scratch) -> Response:
    prediction = worker.label(content, asked)
    if name == "areas":
        return JSONResponse(_areas(prediction))
    folder = scratch.new_folder()
    suffix = ".png" if FORMATS[name] == PNG else ".txt"
    path = write_result(prediction, name, folder / f"result{suffix}")
    try:
        return Response(path.read_bytes(), media_type=FORMATS[name])
    finally:
        path.unlink()
        folder.rmdir()


def _areas(prediction: Prediction) -> Mapping:
    height, width = prediction.labels.shape
    return {"width": width, "height": height, "classes": json.loads(json.dumps(prediction.areas()))}
