"""Label a video or a webcam's frames and draw them; `mmseg_gc predict` writes more than that."""

import argparse
from collections.abc import Sequence

from mmseg_gc.cli.command import cli
from mmseg_gc.errors import UserError


def parse_args(arguments: Sequence[str] | None) -> argparse.Namespace:
    from mmseg_gc.arguments import CONFIG_HELP, ArgumentParser

    parser = ArgumentParser(
        description=__doc__,
        example="python demo/video_demo.py trip.mp4 own.py runs/first/iter_2000.pth "
        "--output-file labelled.mp4",
    )
    parser.add_argument("video", help="video, rtsp:// stream, or the number of a webcam")
    parser.add_argument("config", help=CONFIG_HELP)
    parser.add_argument("checkpoint", help="weights: a path or an http(s) address")
    parser.add_argument("--device", help="such as cpu or cuda:0; default: a GPU if there is one")
    parser.add_argument("--palette", help="data set whose colours are taken; default: the model's")
    parser.add_argument("--show", action="store_true", help="show the frames in a window")
    parser.add_argument(
        "--show-wait-time", type=int, default=1, help="milliseconds that a frame is shown"
    )
    parser.add_argument("--output-file", help="the drawn video")
    parser.add_argument("--output-fourcc", help="its codec; default: one that fits the suffix")
    for name, text in (("fps", "frames a second"), ("height", "pixels"), ("width", "pixels")):
        told = f"{text}; default: the input's"
        parser.add_argument(f"--output-{name}", type=int, default=-1, help=told)
    parser.add_argument("--opacity", type=float, default=0.5, help="of the labels, 0 to 1")
    return parser.parse_args(arguments)


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    from mmseg_gc.visualization.window import require_screen

    if not args.show and not args.output_file:
        raise UserError("nothing would remain of the video: name --output-file, or --show it.")
    if args.show:
        require_screen("name a file by --output-file")
    from mmseg_gc.apis.videos import Video, VideoFile

    video, sink = Video(args.video), None
    if args.output_file:
        sink = VideoFile(
            args.output_file,
            args.output_fps if args.output_fps > 0 else video.rate,
            codec=args.output_fourcc,
            width=max(args.output_width, 0) or None,
            height=max(args.output_height, 0) or None,
        )
    whole = False
    try:
        label(args, video, sink)
        whole = True
    finally:
        if sink is not None:
            sink.close(keep=whole)
    if sink is not None:
        print(f"The drawn video is {args.output_file}.")


def label(args: argparse.Namespace, video, sink) -> None:
    """Draw the frames of ``video`` into ``sink``, a window, or both."""
    from tqdm import tqdm

    from mmseg_gc.aliases.utilities import with_palette_of
    from mmseg_gc.apis import init_model, predict
    from mmseg_gc.apis.devices import chosen_device
    from mmseg_gc.visualization.window import show

    model = init_model(args.config, args.checkpoint, device=chosen_device(args.device))
    model.dataset_meta = with_palette_of(args.palette, model.dataset_meta)
    predictions = predict(model, iter(video), outputs=["overlay"], opacity=args.opacity)
    for prediction in tqdm(predictions, total=video.num_frames, unit="frame"):
        drawing = prediction.overlay(legend=False)
        if sink is not None:
            sink.add(drawing)
        if args.show:
            show(drawing, video.name, args.show_wait_time / 1000)


if __name__ == "__main__":
    main()
