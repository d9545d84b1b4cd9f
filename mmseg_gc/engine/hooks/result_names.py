"""Give every image of a test a name of its own for its results."""

from collections.abc import Iterator
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmseg_gc.datasets.concat import leaves
from mmseg_gc.engine.hooks.visualization import SegVisualizationHook
from mmseg_gc.evaluation import IoUMetric
from mmseg_gc.evaluation.label_files import result_names
from mmseg_gc.evaluation.submission import SubmissionWriter
from mmseg_gc.registry import HOOKS


@HOOKS.register_module()
class ResultNamesHook(Hook):
    """Name label maps of `IoUMetric` and drawings by `result_names`, before the test begins.

    Every process of a test names all images, so that none writes over another's. The files of a
    submission have no folders: there, images of one name are refused before anything is written.
    """

    def before_test(self, runner: Runner) -> None:
        metrics = getattr(runner.test_evaluator, "metrics", ())
        files = [m.files for m in metrics if isinstance(m, IoUMetric) and m.files is not None]
        submissions = [m.files for m in metrics if isinstance(m, SubmissionWriter)]
        drawing = [
            hook for hook in runner.hooks if isinstance(hook, SegVisualizationHook) and hook.out_dir
        ]
        if not (files or submissions or drawing):
            return
        images = list(_images(runner.test_dataloader.dataset))
        for writer in submissions:
            for image in images:
                writer.claim(image)
        names = dict(zip(images, result_names(images), strict=True))
        named: list[Any] = [*files, *drawing]
        for writer in named:
            writer.names = names


def _images(dataset: object) -> Iterator[str]:
    for leaf in leaves(dataset):
        if hasattr(leaf, "get_data_info"):
            for index in range(len(leaf)):
                yield str(leaf.get_data_info(index)["img_path"])
