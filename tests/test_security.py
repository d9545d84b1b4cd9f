"""A file of weights that asks to run code is refused wherever weights can come in."""

import http.server
import threading
from functools import partial
from pathlib import Path

import pytest
import torch

from mmseg_gc.apis import MMSegInferencer, init_model
from mmseg_gc.checkpoint import load_checkpoint, publish_checkpoint, save_checkpoint
from mmseg_gc.config import load_config
from mmseg_gc.engine.runner import SegRunner
from mmseg_gc.errors import UserError
from mmseg_gc.registry import MODELS

CONFIG = Path(__file__).parents[1] / "configs/gcnet/gcnet_r18-d8_1xb8-20k_camvid-360x480.py"


class Payload:
    def __init__(self, trap: Path):
        self.trap = trap

    def __reduce__(self):
        return (open, (str(self.trap), "w"))


@pytest.fixture
def trap(tmp_path):
    return tmp_path / "the-payload-ran"


@pytest.fixture
def evil(tmp_path, trap):
    path = tmp_path / "evil.pth"
    torch.save({"state_dict": {"w": torch.ones(1)}, "meta": {}, "extra": Payload(trap)}, path)
    return path


@pytest.fixture
def runner_for(camvid_root, tiny_text, tmp_path):
    config = tmp_path / "tiny.py"
    config.write_text(f"_base_ = {str(CONFIG)!r}\n{tiny_text}")

    def build(**changes):
        cfg = load_config(config, work_dir=tmp_path / "work")
        for name in ("train", "val", "test"):
            cfg[f"{name}_dataloader"].dataset.data_root = str(camvid_root)
            cfg[f"{name}_dataloader"].num_workers = 0
        cfg.train_dataloader.update(batch_size=2)
        cfg.train_dataloader.dataset.pipeline[3].crop_size = (32, 48)
        cfg.model.data_preprocessor.size = (32, 48)
        cfg.merge_from_dict(changes)
        return SegRunner.from_cfg(cfg)

    return build


def by_url(path: Path, read) -> None:
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=path.parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            read(f"http://127.0.0.1:{server.server_port}/{path.name}")
        finally:
            server.shutdown()


def built_with(**model_changes) -> None:
    cfg = load_config(CONFIG)
    cfg.model.pretrained = None
    cfg.merge_from_dict({f"model.{key}": value for key, value in model_changes.items()})
    MODELS.build(cfg.model).init_weights()


ENTRIES = {
    "init_model": lambda evil, runner_for: init_model(CONFIG, evil),
    "MMSegInferencer": lambda evil, runner_for: MMSegInferencer(CONFIG, str(evil)),
    "load_from": lambda evil, runner_for: runner_for(load_from=str(evil)).test(),
    "resume": lambda evil, runner_for: runner_for(load_from=str(evil), resume=True).train(),
    "pretrained": lambda evil, runner_for: built_with(pretrained=str(evil)),
    "init_cfg": lambda evil, runner_for: built_with(
        **{"backbone.init_cfg": dict(type="Pretrained", checkpoint=str(evil))}
    ),
    "init_cfg of a head": lambda evil, runner_for: built_with(
        **{"decode_head.init_cfg": dict(type="Pretrained", checkpoint=str(evil), prefix="x")}
    ),
    "an address": lambda evil, runner_for: by_url(evil, load_checkpoint),
    "publishing": lambda evil, runner_for: publish_checkpoint(evil, evil.with_name("p.pth")),
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_payload_never_runs(entry, evil, trap, runner_for, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    with pytest.raises(UserError, match="could run code, so it was refused"):
        ENTRIES[entry](evil, runner_for)
    assert not trap.exists()


def test_resuming_from_the_newest_file_of_a_work_dir(evil, trap, runner_for, tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "last_checkpoint").write_text(str(evil))
    with pytest.raises(UserError, match="could run code"):
        runner_for(resume=True).train()
    assert not trap.exists()


def test_a_config_stored_in_a_checkpoint_is_not_run(trap, runner_for, tmp_path):
    # mmengine's resume executes this text as a Python config.
    once = {"train_cfg.max_iters": 1, "train_cfg.val_interval": 9}
    runner_for(**once).train()
    path = tmp_path / "work" / "iter_1.pth"
    checkpoint = load_checkpoint(path)
    checkpoint["meta"]["config"] = f"open({str(trap)!r}, 'w')\n"
    save_checkpoint(checkpoint, path)
    runner_for(**once, load_from=str(path), resume=True).train()
    assert not trap.exists()
