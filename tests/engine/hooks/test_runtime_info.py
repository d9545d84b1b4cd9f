import torch
from mmengine.logging import HistoryBuffer

from mmseg_gc.checkpoint import load_checkpoint
from mmseg_gc.engine import RuntimeInfoHook
from mmseg_gc.engine.late_values import LateHistory


def test_losses_are_read_when_a_line_is_due(toy, tmp_path):
    waiting = []

    def look(runner):
        waiting.append(len(runner.message_hub.log_scalars["train/loss"].waiting))

    hooks = [toy.DoHook(look, iteration=n) for n in (1, 2, 3, 4)]
    keys = {"default_hooks.logger.interval": 3, "default_hooks.checkpoint.interval": 3}
    runner = toy.build(tmp_path / "run", 5, hooks=hooks, val_interval=9, **keys)
    assert any(type(hook) is RuntimeInfoHook for hook in runner.hooks)
    losses = []
    forward = runner.model.forward

    def keep(*args, mode="tensor", **kwargs):
        output = forward(*args, mode=mode, **kwargs)
        if mode == "loss":
            losses.append(output["loss_toy"].item())
        return output

    runner.model.forward = keep
    runner.train()
    assert waiting == [2, 4, 0, 2]  # loss and loss_toy
    history = runner.message_hub.get_scalar("train/loss_toy")
    assert isinstance(history, LateHistory) and history.data[0].tolist() == losses
    saved = load_checkpoint(tmp_path / "run/iter_3.pth")["message_hub"]["log_scalars"]
    assert type(saved["train/loss"]) is HistoryBuffer
    assert saved["train/loss"].data[0].tolist() == losses[:3]


def test_what_is_no_scalar_is_left_to_mmengine(toy, tmp_path):
    runner = toy.build(tmp_path, 1)
    outputs = dict(loss=torch.tensor(1.0), plain=2.0)
    hook = RuntimeInfoHook()
    hook.after_train_iter(runner, 0, None, outputs)
    hook.after_train_iter(runner, 0, None, None)
    hub = runner.message_hub
    assert hub.get_scalar("train/plain").current() == 2.0
    assert hub.get_scalar("train/loss").current() == 1.0
