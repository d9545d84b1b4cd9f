"""Give every picture of a test a name of its own for its results."""

from collections.abc import Iterator

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmseg_gc.engine.hooks.visualization import SegVisualizationHook
from mmseg_gc.evaluation import IoUMetric
from mmseg_gc.evaluation.label_files import result_names
from mmseg_gc.evaluation.submission import SubmissionWriter
from mmseg_gc.registry import HOOKS


@HOOKS.register_module()
class ResultNamesHook(Hook):
    """Name label maps of `IoUMetric` and drawings by `result_names`, before the test begins.

    Every process of a test names all pictures, so that none writes over another's. The files of a
    submission have no folders: there, pictures of one name are refused before anything is written.
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
        pictures = list(_pictures(runner.test_dataloader.dataset))
        for writer in submissions:
            for picture in pictures:
                writer.claim(picture)
        names = dict(zip(pictures, result_names(pictures), strict=True))
        for writer in (*files, *drawing):
            writer.names = names


def _pictures(dataset: object) -> Iterator[str]:
    inner = getattr(dataset, "datasets", None) or [getattr(dataset, "dataset", None)]
    if inner[0] is not None:
        for part in inner:
            yield from _pictures(part)
    elif hasattr(dataset, "get_data_info"):
        for index in range(len(dataset)):
            yield str(dataset.get_data_info(index)["img_path"])
