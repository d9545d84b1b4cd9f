"""Draw predictions while a model is validated or tested."""

from collections.abc import Sequence
from pathlib import Path

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmseg_gc.datasets.transforms.drawing import read_for_drawing
from mmseg_gc.registry import HOOKS
from mmseg_gc.structures import SegDataSample
from mmseg_gc.visualization.displayable import displayable


@HOOKS.register_module()
class SegVisualizationHook(Hook):
    """Hand images with their labels and predictions to the run's visualizer.

    ``interval`` counts validation batches between two drawn images; in a test every image is
    drawn. ``wait_time`` is in seconds. With ``out_dir`` images go to ``out_dir/NAME.png`` and not
    to the visualizer's backends. Of an image of more than three channels the first three are drawn,
    and other types than uint8 are stretched, as `displayable` says.

    Source: ``mmseg.engine.hooks.SegVisualizationHook``.
    """

    def __init__(
        self,
        draw: bool = False,
        interval: int = 50,
        show: bool = False,
        wait_time: float = 0.0,
        backend_args: dict | None = None,
        out_dir: str | None = None,
    ):
        self.draw = draw
        self.interval = interval
        self.show = show
        self.wait_time = wait_time
        self.backend_args = backend_args
        self.out_dir = out_dir
        self.num_drawn = 0
        self.names: dict[str, str] = {}  # of files in `out_dir`, by path of the image

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[SegDataSample] | None = None,
    ) -> None:
        if self.draw and outputs and batch_idx % self.interval == 0:
            self._draw(runner, outputs[0], "val", runner.iter + batch_idx)

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[SegDataSample] | None = None,
    ) -> None:
        if self.draw:
            for data_sample in outputs or ():
                self.num_drawn += 1
                self._draw(runner, data_sample, "test", self.num_drawn)

    def _draw(self, runner: Runner, data_sample: SegDataSample, phase: str, step: int) -> None:
        name = Path(data_sample.img_path).stem
        size = data_sample.get("ori_shape")
        image = read_for_drawing(data_sample.img_path, size, self.backend_args)
        runner.visualizer.add_datasample(
            f"{phase}_{name}",
            displayable(image),
            data_sample=data_sample,
            show=self.show,
            wait_time=self.wait_time,
            out_file=self._out_file(data_sample.img_path),
            step=step,
        )

    def _out_file(self, path: str) -> str | None:
        name = self.names.get(path, Path(path).stem)
        return f"{self.out_dir}/{name}.png" if self.out_dir else None
