"""Offer a trained model as a page for colleagues, and as plain HTTP for programs."""

import argparse
import ipaddress
import os
import signal
import socket
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from mmseg_gc.arguments import CHECKPOINT_HELP, CONFIG_HELP, ArgumentParser
from mmseg_gc.cli.command import cli, is_exported
from mmseg_gc.errors import UserError

MAX_CONNECTIONS = 200


def parse_args(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = ArgumentParser(
        description=f"{__doc__}\n\nThe page is at /; POST an image to /predict, GET /health. "
        "Nothing is stored.",
        command="serve",
        example="mmseg_gc serve own.py runs/first/iter_2000.pth\n"
        "  curl --data-binary @street.jpg 'http://127.0.0.1:7860/predict?format=overlay' > out.png",
    )
    parser.add_argument("config", help=CONFIG_HELP)
    told = CHECKPOINT_HELP + ", alone or behind its config"
    parser.add_argument("checkpoint", nargs="?", help=told)
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen at; 0.0.0.0: to all; default: %(default)s",
    )
    parser.add_argument(
        "--port", type=int, default=7860, help="0: a free one; default: %(default)s"
    )
    parser.add_argument("--device", help="such as cpu or cuda:0; default: a GPU if there is one")
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="fp32")
    for name, kind, default, text in (
        ("max-mb", float, 64, "MiB of an upload"),
        ("max-megapixels", float, 40, "million pixels of an image, or of a video's frame"),
        ("max-frames", int, 600, "frames of a video"),
        ("rate", int, 30, "requests of one address in a minute"),
        ("seconds", float, 300, "that a request may take, waiting included"),
        ("queue", int, 8, "requests that may wait or run"),
    ):
        told = f"{text}, at most; default: %(default)s"
        parser.add_argument(f"--{name}", type=kind, default=default, metavar="N", help=told)
    args = parser.parse_args(arguments)
    if args.checkpoint is None and not is_exported(args.config):
        parser.error("the following arguments are required: checkpoint")
    return args


def require_range(args: argparse.Namespace) -> None:
    """Refuse numbers that mean nothing, before a model is read."""
    for name in ("max_mb", "max_megapixels", "max_frames", "rate", "seconds", "queue"):
        if not 0 < getattr(args, name) < float("inf"):
            option = f"--{name.replace('_', '-')}"
            raise UserError(f"{option} {getattr(args, name)} is out of range; give more than 0.")
    if not 0 <= args.port < 65536:
        raise UserError(f"--port {args.port} is out of range; give 1 to 65535, or 0 for any.")


def require_gradio() -> None:
    if find_spec("gradio") is None:
        raise UserError("the page needs gradio, which isn't installed: pip install mmseg_gc[serve]")


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to ``host`` and ``port``, before a model is read for nothing.

    Raises:
        UserError: they can't be had.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family)
    except (OSError, UnicodeError) as error:
        number = error.errno if isinstance(error, OSError) else None
        reason = os.strerror(number) if number and number > 0 else error
        raise UserError(
            f"port {port} of {host} can't be had ({reason}); give another by --port, 0 for a free "
            "one, or an address of this machine by --host."
        ) from error


def is_open_to_others(address: str) -> bool:
    return not ipaddress.ip_address(address.partition("%")[0]).is_loopback


@cli
def main(arguments: Sequence[str] | None = None) -> int:
    args = parse_args(arguments)
    require_range(args)
    require_gradio()
    with listen(args.host, args.port) as server:
        address, port = server.getsockname()[:2]
        if is_open_to_others(address):
            print(
                f"WARNING: whoever reaches port {port} of this machine can use the model; there is "
                "no password.",
                file=sys.stderr,
            )
        return serve(args, server)


def serve(args: argparse.Namespace, server: socket.socket) -> int:
    """Answer at ``server`` until a signal comes."""
    import torch
    import uvicorn

    from mmseg_gc.apis import init_model
    from mmseg_gc.serve.limits import Limits
    from mmseg_gc.serve.uploads import Scratch
    from mmseg_gc.serve.web_page import build_app
    from mmseg_gc.serve.worker import Worker

    # uvicorn ends and then lets the signal do what it did: temporary files are to go first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    limits = Limits(
        max_bytes=int(args.max_mb * 2**20),
        max_pixels=int(args.max_megapixels * 1e6),
        max_frames=args.max_frames,
        rate=args.rate,
        seconds=args.seconds,
        queue=args.queue,
    )
    device = args.device or ("cuda:0" if torch.cuda.is_available() else "cpu")
    model = init_model(args.config, args.checkpoint, device=device, precision=args.precision)
    worker = Worker(model, limits)
    host, port = server.getsockname()[:2]
    with Scratch() as scratch:
        title = Path(getattr(model.cfg, "filename", None) or args.config).stem
        app = build_app(worker, limits, scratch, title)
        shown = f"[{host}]" if ":" in host else host
        print(f"{title} is at http://{shown}:{port}/ on {device}; Ctrl-C ends it.", flush=True)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,  # by which clients could choose the address they are counted by
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=5,
        )
        try:
            uvicorn.Server(config).run(sockets=[server])
        except KeyboardInterrupt:
            print("Ended.", file=sys.stderr)
        finally:
            worker.close()
    return 0
