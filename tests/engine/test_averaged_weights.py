"""Which of the two sets of weights under `EMAHook` is tested, saved and gone on from."""

import pytest
import torch
from mmengine.hooks import Hook

from mmseg_gc.checkpoint import load_checkpoint
from mmseg_gc.errors import UserError

EMA = dict(type="EMAHook", momentum=0.5)
WEIGHT = "layers.3.weight"
TEST = dict(
    test_dataloader=dict(
        batch_size=1, num_workers=0, dataset=dict(type="ToyDataset"),
        sampler=dict(type="DefaultSampler", shuffle=False),
    ),
    test_cfg=dict(type="TestLoop"),
    test_evaluator=[],
)  # fmt: skip


class Seen(Hook):
    """Notes the weights that are validated or tested."""

    priority = "LOWEST"

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        self.validated = runner.model.state_dict()[WEIGHT].clone()

    def before_test_iter(self, runner, batch_idx, data_batch=None):
        self.tested = runner.model.state_dict()[WEIGHT].clone()


def run(toy, work_dir, iterations=4, **keys):
    keys = dict(hooks=[EMA], val_interval=4) | keys
    runner = toy.build(work_dir, iterations, **keys, **TEST)
    runner.register_hook(seen := Seen())
    return runner, seen


@pytest.fixture(scope="module")
def trained(toy, tmp_path_factory):
    """The work dir of four iterations, the weights after each, and those that were validated."""
    work_dir = tmp_path_factory.mktemp("averaged") / "run"
    runner, seen = run(toy, work_dir)
    steps = []

    def note(runner, *args, **kwargs):
        steps.append(runner.model.state_dict()[WEIGHT].clone())

    runner.register_hook(hook := Hook())
    hook.after_train_iter = note
    runner.train()
    average = steps[0].double()
    for step in steps[1:]:
        average = 0.5 * average + 0.5 * step.double()
    return work_dir, steps[-1], average.float(), seen.validated


def test_what_was_validated_is_the_average(trained):
    _, _, average, validated = trained
    torch.testing.assert_close(validated, average)


@pytest.mark.parametrize("name", ["iter_4.pth", "best_mIoU_iter_4.pth"])
def test_what_was_validated_is_tested(toy, trained, tmp_path, name):
    work_dir, last, _, validated = trained
    runner, seen = run(toy, tmp_path / "test", load_from=str(work_dir / name), resume=False)
    runner.test()
    assert torch.equal(seen.tested, validated) and not torch.equal(seen.tested, last)
    assert any(type(hook).__name__ == "EMAHook" for hook in runner.hooks)


def test_in_one_process(toy, tmp_path):
    """The average is lent to the model, and taken back after the test."""
    runner, seen = run(toy, tmp_path / "run")
    runner.train()
    last = runner.model.state_dict()[WEIGHT].clone()
    runner.test()
    assert torch.equal(seen.tested, seen.validated)
    assert torch.equal(runner.model.state_dict()[WEIGHT], last)


def test_a_resume_without_the_hook_goes_on_from_the_trained_weights(toy, trained, tmp_path, caplog):
    work_dir, last, *_ = trained
    keys = dict(load_from=str(work_dir / "iter_4.pth"), resume=True, hooks=[])
    runner, seen = run(toy, tmp_path / "run", 4, **keys)
    runner.logger.addHandler(caplog.handler)
    runner.train()
    assert torch.equal(runner.model.state_dict()[WEIGHT], last)
    assert "the config has no EMAHook" in caplog.text


def test_weights_without_anything_around_them_are_a_start(toy, trained, tmp_path):
    work_dir, *_ = trained
    weights = load_checkpoint(work_dir / "iter_4.pth")["state_dict"]
    torch.save({f"module.{name}": value for name, value in weights.items()}, tmp_path / "bare.pth")
    keys = dict(load_from=str(tmp_path / "bare.pth"), resume=False)
    runner, _ = run(toy, tmp_path / "run", 1, val_interval=1, **keys)
    runner.train()
    assert "ema_state_dict" in load_checkpoint(tmp_path / "run/iter_1.pth")


@pytest.mark.parametrize("key", ["begin_iter", "begin_epoch"])
def test_an_average_that_never_begins(toy, tmp_path, key):
    runner, _ = run(toy, tmp_path / "run", 4, hooks=[EMA | {key: 5}])
    with pytest.raises(UserError, match=rf"EMAHook's {key} is 5, but train_cfg.max_"):
        runner.train()
