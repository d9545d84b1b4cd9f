from types import SimpleNamespace

import pytest

from mmseg_gc.engine.hooks import SegVisualizationHook
from mmseg_gc.engine.hooks.result_names import ResultNamesHook
from mmseg_gc.errors import UserError
from mmseg_gc.evaluation import IoUMetric
from mmseg_gc.evaluation.submission import SubmissionWriter


class Images(list):
    """A data set of the images at these paths."""

    def get_data_info(self, index):
        return dict(img_path=self[index])


def run(dataset, **folders):
    metric = IoUMetric(output_dir=folders.get("out"))
    drawing = SegVisualizationHook(out_dir=folders.get("show"))
    runner = SimpleNamespace(
        test_evaluator=SimpleNamespace(metrics=[metric, object()]),
        hooks=[drawing, object()],
        test_dataloader=SimpleNamespace(dataset=dataset),
    )
    ResultNamesHook().before_test(runner)
    return metric.files and metric.files.names, drawing.names


@pytest.mark.parametrize("wrapped", [False, True])
def test_two_of_one_name_keep_their_folders(wrapped, tmp_path):
    first, second = Images(["d/1/a.png", "d/1/b.png"]), Images(["d/2/a.png"])
    dataset = Images([*first, *second])
    if wrapped:
        parts = [SimpleNamespace(dataset=first), second]
        dataset = SimpleNamespace(datasets=parts)
    wanted = {"d/1/a.png": "1/a", "d/1/b.png": "b", "d/2/a.png": "2/a"}
    assert run(dataset, out=str(tmp_path / "o"), show="s") == (wanted, wanted)
    assert run(dataset, show="s") == (None, wanted)


def test_without_results_nothing_is_read():
    assert run(None) == (None, {})


def test_a_submission_of_one_name_twice_is_refused_before_it_begins(tmp_path):
    def begin(paths):
        runner = SimpleNamespace(
            test_evaluator=SimpleNamespace(metrics=[SubmissionWriter(str(tmp_path))]),
            hooks=[],
            test_dataloader=SimpleNamespace(dataset=Images(paths)),
        )
        ResultNamesHook().before_test(runner)

    with pytest.raises(UserError, match=r"day2/a\.png and in/day1/a\.png would both be written"):
        begin(["in/day1/a.png", "in/day2/a.png"])
    begin(["in/day1/a.png", "in/day2/b.png"])
