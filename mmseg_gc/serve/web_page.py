"""The page: drop an image or a video, see the classes over it, take the results along."""

import os
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

# Before gradio is imported, which asks its makers' host for news otherwise.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr
import numpy as np
from fastapi import FastAPI

from mmseg_gc.apis.predict_files import put_table
from mmseg_gc.apis.prediction import OPACITY
from mmseg_gc.apis.videos import SUFFIXES
from mmseg_gc.errors import UserError
from mmseg_gc.serve.endpoints import add_endpoints, classes_by_name, write_result
from mmseg_gc.serve.limits import Guard, Limits, Refused
from mmseg_gc.serve.payloads import UploadedPathsOnly
from mmseg_gc.serve.uploads import MAX_AGE, Scratch, video_suffix
from mmseg_gc.serve.worker import Asked, Worker
from mmseg_gc.visualization.drawings import write_drawing

IMAGE_SUFFIXES = [".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"]
DOWNLOADS = {"ids": "labels.png", "overlay": "overlay.png", "geojson": "polygons.geojson"}
CSS = """
.gradio-container {max-width: 1280px !important; width: 100% !important; margin: 0 auto !important}
footer {display: none !important}
#downloads .label-clear-button {display: none}
#areas table, #areas tr {border: 0}
#areas table {width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums}
#areas th, #areas td {padding: .3rem .6rem; border-bottom: 1px solid var(--border-color-primary)}
#areas th, #areas td {text-align: right; border-left: 0; border-right: 0}
#areas th:first-child, #areas td:first-child {text-align: left}
#areas i {display: inline-block; width: .9em; height: .9em; margin-right: .6em;
  vertical-align: -.1em; border: 1px solid var(--body-text-color)}
"""


def build_app(worker: Worker, limits: Limits, scratch: Scratch, title: str) -> FastAPI:
    """The page at ``/``, with ``/predict`` and ``/health`` beside it.

    Files of the page are in ``scratch`` alone. Raises nothing: what a client does wrong it is told.
    """
    os.environ["GRADIO_TEMP_DIR"] = str(scratch.folder)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    add_endpoints(app, worker, limits, scratch)
    page = _page(worker, limits, scratch, title)
    page.queue(max_size=limits.queue, default_concurrency_limit=1, api_open=False)
    app = gr.mount_gradio_app(
        app,
        page,
        path="/",
        theme=_theme(),
        css=CSS,
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=limits.max_bytes,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        app_kwargs=dict(docs_url=None, redoc_url=None, openapi_url=None),
    )
    app.add_middleware(UploadedPathsOnly, folder=scratch.folder)
    app.add_middleware(Guard, limits=limits, bytes_kept=scratch.bytes_kept)
    return app


def _theme() -> gr.Theme:
    """Gradio's own, in the fonts that a machine has, and with hints that can be read."""
    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])
    return theme.set(block_info_text_color="*neutral_500")


def _page(worker: Worker, limits: Limits, scratch: Scratch, title: str) -> gr.Blocks:
    handle = _Handler(worker, scratch)
    with gr.Blocks(title=title, analytics_enabled=False) as page:
        gr.Markdown(
            f"# {title}\nDrop an image or a video: the classes are drawn over it. Files of up to "
            f"{limits.max_bytes / 2**20:g} MiB; they are removed within {MAX_AGE / 60:.0f} minutes."
        )
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                upload = gr.File(
                    label="Image or video",
                    file_types=[*IMAGE_SUFFIXES, *SUFFIXES],
                    elem_id="upload",
                )
                drawn = gr.Dropdown(
                    choices=list(worker.classes),
                    multiselect=True,
                    label="Classes to draw",
                    info="none chosen: all",
                )
                opacity = gr.Slider(0, 1, OPACITY, step=0.05, label="Opacity")
                views = gr.Checkbox(
                    label="Several scales and flips", info="slower, and mostly a little better"
                )
                button = gr.Button("Label", variant="primary", elem_id="label")
            with gr.Column(scale=2, min_width=320):
                image = gr.Image(
                    label="Overlay",
                    show_label=False,  # it would lie on the image, as on the video
                    interactive=False,
                    buttons=["fullscreen"],
                    elem_id="overlay",
                )
                video = gr.Video(
                    label="Overlay",
                    show_label=False,
                    interactive=False,
                    buttons=[],
                    visible=False,
                    elem_id="video",
                )
                table = gr.HTML(elem_id="areas")
                files = gr.File(
                    label="Downloads",
                    file_count="multiple",
                    interactive=False,
                    visible=False,
                    elem_id="downloads",
                )
        button.click(
            handle,
            [upload, views, opacity, drawn],
            [image, video, table, files],
            api_visibility="private",
            show_progress_on=[image],
        )
    return page


class _Handler:
    """What the button does."""

    __name__ = "label"  # by which gradio calls it

    def __init__(self, worker: Worker, scratch: Scratch):
        self._worker = worker
        self._scratch = scratch

    def __call__(
        self,
        upload: str | None,
        views: bool,
        opacity: float,
        drawn: list[str] | None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  gradio looks for it here
    ) -> tuple:
        if not upload:
            raise _told("drop an image or a video first.")
        try:
            path = self._scratch.uploaded(upload)
            ids = classes_by_name(drawn, self._worker.classes) if drawn else None
            asked = Asked(views, float(opacity), ids, ("overlay",))
            with path.open("rb") as file:
                is_video = bool(video_suffix(file.read(16)))
            folder = self._scratch.new_folder()
            return (self._label_video if is_video else self._label_image)(
                path, folder, asked, progress
            )
        except (Refused, UserError) as error:
            raise _told(str(error)) from error

    def _label_image(self, path: Path, folder: Path, asked: Asked, progress: Callable) -> tuple:
        progress(0, desc="labelling")
        prediction = self._worker.label(path.read_bytes(), asked)
        files = [write_result(prediction, name, folder / file) for name, file in DOWNLOADS.items()]
        files.append(write_result(prediction, "csv", folder / "areas.csv"))
        plain = folder / "shown.png"  # its legend is the table
        write_drawing(prediction.overlay(legend=False), str(plain))
        pixels = {row["id"]: row["pixels"] for row in prediction.areas()}
        table = areas_table(pixels, prediction.classes, prediction.palette)
        shown = gr.Image(value=str(plain), visible=True)
        return shown, gr.Video(value=None, visible=False), table, _downloads(files)

    def _label_video(self, path: Path, folder: Path, asked: Asked, progress: Callable) -> tuple:
        target = folder / "overlay.webm"

        def tell(done: int, total: int) -> None:
            progress((done, total), desc="labelling", unit="frames")

        rows, palette = self._worker.label_video(path, target, asked, tell)
        put_table(rows, folder / "areas.csv")
        pixels: dict[int, int] = {}
        for row in rows:
            pixels[row["id"]] = pixels.get(row["id"], 0) + row["pixels"]
        table = areas_table(pixels, self._worker.classes, palette)
        shown = gr.Video(value=str(target), visible=True)
        files = _downloads([target, folder / "areas.csv"])
        return gr.Image(value=None, visible=False), shown, table, files


def areas_table(pixels: dict[int, int], classes: Sequence[str], palette: np.ndarray) -> str:
    """HTML of the ``pixels`` of each id, which is the legend as well."""
    whole = sum(pixels.values())
    rows = []
    for number, count in sorted(pixels.items(), key=lambda one: -one[1]):
        name = escape(classes[number] if number < len(classes) else str(number))
        colour = "#" + palette[number].tobytes().hex()
        rows.append(
            f'<tr><td><i style="background:{colour}"></i>{name}</td>'
            f"<td>{count:,}</td><td>{100 * count / whole:.2f} %</td></tr>"
        )
    head = "<tr><th>Class</th><th>Pixels</th><th>Share</th></tr>"
    return f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"


def _downloads(files: list[Path]) -> gr.File:
    return gr.File(value=[str(file) for file in files], visible=True)


def _told(sentence: str) -> gr.Error:
    return gr.Error(sentence[:1].upper() + sentence[1:], print_exception=False)
