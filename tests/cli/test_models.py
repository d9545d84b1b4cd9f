import pytest

from mmseg_gc.cli import convert, info, models


def run(main, *words: str, capsys) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(words)
    return stopped.value.code, *capsys.readouterr()


def test_models_are_listed_with_their_published_score(capsys):
    status, out, _ = run(models.main, "cityscapes", "R50", "40k", "512x1024", capsys=capsys)
    rows = [line for line in out.splitlines() if line.startswith("| gcnet")]
    assert status == 0 and len(rows) == 2
    assert [cell.strip() for cell in rows[0].split("|")[1:3]] == [
        "gcnet_r50-d8_4xb2-40k_cityscapes-512x1024",
        "77.69",
    ]


def test_detectors_are_listed_on_request(capsys):
    assert "mask-rcnn" not in run(models.main, capsys=capsys)[1]
    assert "mask-rcnn" in run(models.main, "--all", capsys=capsys)[1]


def test_no_such_model(capsys):
    status, _, err = run(models.main, "r500", capsys=capsys)
    assert status == 1 and err.startswith("Error: no config has r500 in its name")


def test_info_names_versions_and_device(capsys):
    import torch

    status, out, _ = run(info.main, capsys=capsys)
    rows = dict(line.split("  ", 1) for line in out.splitlines())
    assert (
        status == 0 and rows["torch"].strip() == torch.__version__.split("+")[0] or "torch" in rows
    )
    assert "device" in {name.strip() for name in rows}


def test_info_lists_runtimes(capsys, monkeypatch):
    monkeypatch.setattr("mmseg_gc.deploy.installed_runtimes", lambda: {"openvino": "9 (CPU, NPU)"})
    assert "\nopenvino " in (out := run(info.main, capsys=capsys)[1]) and "9 (CPU, NPU)\n" in out
    monkeypatch.setattr("mmseg_gc.deploy.installed_runtimes", lambda: {})
    assert (
        "none of exported files: pip install 'mmseg_gc[export]'" in run(info.main, capsys=capsys)[1]
    )


def test_converters_are_called_by_name(capsys):
    assert "usage: " in run(convert.main, "camvid", "--help", capsys=capsys)[1]
    status, _, err = run(convert.main, "cityscape", capsys=capsys)
    assert status == 2 and "cityscapes" in err
