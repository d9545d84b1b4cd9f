"""Pure-Python configs that take this package's base files as modules of mmseg."""

import pytest
from mmengine.config import Config

from mmseg_gc.config import load_config
from mmseg_gc.errors import UserError

READ = "from mmengine.config import read_base\nwith read_base():\n"


@pytest.mark.parametrize("top", ["mmseg", "mmseg_gc"])
def test_bases_are_whole(tmp_path, top):
    text = READ + (
        f"    from {top}.configs._base_.models.gcnet_r50_d8 import *\n"
        f"    from {top}.configs._base_.schedules.schedule_40k import *\n"
        "model.update(pretrained=None)\n"
        "model.backbone.depth = 101\n"
    )
    (tmp_path / "leaf.py").write_text(text)
    cfg = load_config(tmp_path / "leaf.py")
    assert cfg.model.backbone.depth == 101 and cfg.model.pretrained is None
    # Of the file that schedule_40k builds on, and its own.
    assert cfg.optim_wrapper.optimizer.lr == 0.01 and cfg.train_cfg.max_iters == 40000


@pytest.mark.parametrize("top", ["mmseg", "mmseg_gc"])
def test_plain_reading_as_of_a_notebook(tmp_path, top):
    text = f"{READ}    from {top}.configs._base_.schedules.schedule_40k import *\n"
    (tmp_path / "leaf.py").write_text(text)
    cfg = Config.fromfile(tmp_path / "leaf.py")
    assert cfg.optim_wrapper.optimizer.lr == 0.01 and cfg.train_cfg.max_iters == 40000
    (tmp_path / "own.py").write_text("from mmengine.hooks import IterTimerHook\nmine = 3\n")
    (tmp_path / "leaf.py").write_text(f"{READ}    from .own import *\n")
    assert Config.fromfile(tmp_path / "leaf.py").mine == 3


def test_beside_files_of_the_users_own(tmp_path):
    (tmp_path / "mine.py").write_text("load_from = 'x.pth'\n")
    text = READ + (
        "    from .mine import *\n"
        "    from mmseg.configs._base_.default_runtime import log_level, env_cfg\n"
    )
    (tmp_path / "leaf.py").write_text(text)
    cfg = load_config(tmp_path / "leaf.py")
    assert cfg.load_from == "x.pth" and cfg.env_cfg.cudnn_benchmark is True


def test_a_base_that_is_not_here(tmp_path):
    text = READ + "    from mmseg.configs._base_.models.gcnet_r50_d9 import *\n"
    (tmp_path / "leaf.py").write_text(text)
    with pytest.raises(
        UserError, match=r"leaf\.py, line 3, .* did you mean '_base_\.models\.gcnet"
    ):
        load_config(tmp_path / "leaf.py")
