import pytest

from mmseg_gc.apis.prediction import OUTPUTS
from mmseg_gc.cli import predict


def run(*words, capsys) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        predict.main([str(word) for word in words])
    return stopped.value.code, *capsys.readouterr()


def test_outputs_are_those_of_the_api():
    assert tuple(OUTPUTS) == predict.OUTPUTS


def test_wrong_values_are_told_before_a_model_is_read(capsys, tmp_path):
    for flags, told in (
        (["--outputs", "overlays"], "no output is called 'overlays'; did you mean 'overlay'?"),
        (["--opacity", "50"], "--opacity 50.0 is out of range"),
        (["--scale", "-1"], "--scale -1.0 is out of range"),
        (["--batch-size", "0"], "--batch-size 0 is out of range"),
    ):
        status, out, err = run("c.py", "w.pth", "in", "-o", tmp_path, *flags, capsys=capsys)
        assert (status, out) == (1, "") and told in err and err.count("\n") == 1


def test_an_exported_file_takes_no_checkpoint(capsys):
    status, out, err = run("own.onnx", "w.pth", "photos", capsys=capsys)
    assert (status, out) == (2, "")
    assert "own.onnx has its weights in itself: leave out w.pth" in err
