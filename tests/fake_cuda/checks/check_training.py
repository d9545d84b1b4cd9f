"""A whole training in mixed precision: with EMA, accumulation, validation, saving, resuming."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from fake_cuda.agreed import AGREED_WAITS
from fake_cuda.device import FakeGpu
from fake_cuda.models import CLASSES, gcnet_cfg, sample
from fake_cuda.record import Record
from mmengine.hooks import Hook
from mmengine.registry import init_default_scope
from torch.utils.data import Dataset

from mmseg_gc.checkpoint import load_checkpoint
from mmseg_gc.config import SegConfig
from mmseg_gc.engine import SegRunner
from mmseg_gc.registry import DATASETS, SCOPE

SIZE = (64, 64)
LOG_INTERVAL = 3
SAVING = (4, 6)  # the last iteration of each of the two runs


@DATASETS.register_module()
class BlackImages(Dataset):
    """``count`` of them, all of class 0."""

    metainfo = dict(
        classes=[str(number) for number in range(CLASSES)],
        palette=[[number] * 3 for number in range(CLASSES)],
    )

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict:
        label = torch.zeros(1, *SIZE, dtype=torch.uint8)
        return dict(
            inputs=torch.zeros(3, *SIZE, dtype=torch.uint8),
            data_samples=sample(SIZE, label=label, img_path=f"{index}.png"),
        )


class _Recorder(Hook):
    """Opens a record of each iteration before all other hooks; `_Closer` ends it after them."""

    priority = "HIGHEST"

    def __init__(self, gpu: FakeGpu) -> None:
        self.gpu = gpu
        self.training: list[Record] = []
        self.validation: list[Record] = []
        self.open = ExitStack()

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        self.training.append(self.open.enter_context(self.gpu.record()))

    def before_val_iter(self, runner, batch_idx, data_batch=None) -> None:
        self.validation.append(self.open.enter_context(self.gpu.record()))


class _Closer(Hook):
    priority = "LOWEST"

    def __init__(self, recorder: _Recorder) -> None:
        self.recorder = recorder

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.recorder.open.close()

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.recorder.open.close()


class Training:
    """One run of `SegRunner.train`, and what it did on the GPU."""

    def __init__(self, gpu: FakeGpu, work_dir: Path, iterations: int, **changes: object) -> None:
        cfg = SegConfig(_config(work_dir, iterations))
        cfg.merge_from_dict(changes)
        self.runner = SegRunner.from_cfg(cfg)
        self.recorder = _Recorder(gpu)
        self.runner.register_hook(self.recorder)
        self.runner.register_hook(_Closer(self.recorder))
        with gpu.record() as self.record:
            self.runner.train()


def _config(work_dir: Path, iterations: int) -> dict:
    # A log line is also due after a round of all images: three iterations.
    train_set, val_set = (dict(type="BlackImages", count=count) for count in (6, 2))
    return dict(
        default_scope=SCOPE,
        experiment_name=f"fake_{work_dir.parent.name}_{iterations}",
        model=gcnet_cfg(data_preprocessor=dict(size=SIZE)),
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=2, num_workers=0, sampler=dict(type="InfiniteSampler"), dataset=train_set
        ),
        val_dataloader=dict(
            batch_size=1,
            num_workers=0,
            sampler=dict(type="DefaultSampler", shuffle=False),
            dataset=val_set,
        ),
        val_evaluator=dict(type="IoUMetric"),
        train_cfg=dict(type="IterBasedTrainLoop", max_iters=iterations, val_interval=iterations),
        val_cfg=dict(type="ValLoop", fp16=True, loss=True),
        optim_wrapper=dict(
            type="mmseg_gc.AmpOptimWrapper",
            optimizer=dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=0.0005),
            accumulative_counts=2,
        ),
        param_scheduler=[dict(type="PolyLR", eta_min=0, end=100, by_epoch=False)],
        default_hooks=dict(
            logger=dict(type="LoggerHook", interval=LOG_INTERVAL, log_metric_by_epoch=False),
            checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=iterations),
        ),
        custom_hooks=[dict(type="EMAHook"), dict(type="mmseg_gc.ScreenHook")],
        log_processor=dict(by_epoch=False),
        visualizer=dict(type="SegLocalVisualizer", vis_backends=[]),
        log_level="ERROR",
    )


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Training]]:
    """Four iterations with a validation and a checkpoint at their end, and two more after that."""
    init_default_scope(SCOPE)
    work_dir = tmp_path_factory.mktemp("training")
    with FakeGpu() as gpu:
        yield [
            Training(gpu, work_dir, SAVING[0]),
            Training(gpu, work_dir, SAVING[1], resume=True),
        ]


@pytest.fixture
def iterations(trainings: list[Training]) -> list[Record]:
    return [record for training in trainings for record in training.recorder.training]


@pytest.fixture
def validations(trainings: list[Training]) -> list[Record]:
    return [record for training in trainings for record in training.recorder.validation]


def test_it_goes_on_where_it_was(trainings: list[Training], iterations: list[Record]):
    assert len(iterations) == SAVING[1]
    assert tuple(each.runner.iter for each in trainings) == SAVING


def test_iterations_wait_for_nothing(iterations: list[Record]):
    """But for what is agreed on, after the first two, which have nothing special to do."""
    for number, record in enumerate(iterations, start=1):
        if number not in SAVING:
            agreed = AGREED_WAITS if number > 2 else ()
            assert not [wait for wait in record.waits if wait.place.function not in agreed], number


def test_batches_travel_while_the_gpu_works(iterations: list[Record], validations: list[Record]):
    for record in iterations + validations:
        to_gpu = [copy for copy in record.copies if copy.to_gpu]
        assert to_gpu and all(copy.pinned and not copy.blocking for copy in to_gpu)


def test_convolutions_of_the_training(iterations: list[Record]):
    for record in iterations:
        forward = [each for each in record.convolutions if each.op == "aten::convolution"]
        assert 2 * len(forward) == len(record.convolutions)
        assert {each.dtype for each in record.convolutions} == {torch.float16}
        assert all(each.channels_last for each in record.convolutions)


def test_validation(validations: list[Record]):
    """In the training's precision and layout, without a wait, its loss included."""
    assert len(validations) == 2 * 2
    for record in validations:
        assert {each.dtype for each in record.convolutions} == {torch.float16}
        assert all(each.channels_last for each in record.convolutions)
        assert not record.waits and not record.blocking_copies


def test_the_loss_of_a_validation_is_read_once(trainings: list[Training]):
    for training in trainings:
        waits = [wait.place.function for wait in training.record.waits]
        assert waits.count("ValidationLoss.read") == 1
        assert "val/val_loss" in training.runner.message_hub.log_scalars


def test_checkpoints_hold_host_memory(trainings: list[Training]):
    """Writing a tensor that is on the GPU would have raised."""
    checkpoint = load_checkpoint(Path(trainings[0].runner.work_dir, "iter_4.pth"))
    assert {"state_dict", "ema_state_dict", "optimizer"} <= checkpoint.keys()
    assert checkpoint["optimizer"]["loss_scaler"]["scale"] is not None
    assert len(checkpoint["optimizer"]["state"]) == len(
        list(trainings[0].runner.model.parameters())
    )


def test_what_was_resumed_is_on_the_gpu(trainings: list[Training]):
    runner = trainings[1].runner
    state = runner.optim_wrapper.optimizer.state
    momenta = [value["momentum_buffer"] for value in state.values()]
    assert momenta and all(momentum.is_cuda for momentum in momenta)
    assert all(parameter.is_cuda for parameter in runner.model.parameters())
