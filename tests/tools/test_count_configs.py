"""The count of configs that are taken, and of the reasons of those that aren't."""


def test_reasons_are_counted(run_tool, tmp_path):
    (tmp_path / "_base_").mkdir()
    (tmp_path / "_base_" / "base.py").write_text("x = 1\n")
    base = "_base_ = 'mmseg::_base_/models/gcnet_r50-d8.py'\n"
    files = {
        "taken": "",
        "head": "model = dict(decode_head=dict(_delete_=True, type='NoHead'))\n",
        "both": "runner = dict(type='IterBasedRunner', max_iters=1)\ntrain_dataloader = dict()\n"
        "model = dict(backbone=dict(type='NoNet'))\n",
        "data": "train_dataloader = dict(dataset=dict(type='NoData'))\n",
    }
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(text if name == "both" else base + text)
    done = run_tool("benchmarks/count_configs.py", tmp_path, "--list")
    assert done.status in (0, None), done.err
    assert [" ".join(line.split()) for line in done.out.splitlines()] == [
        "2 a part of the network that isn't here",
        "both.py",
        "head.py",
        "1 no dataset NoData",
        "data.py",
        "1 taken",
        "taken.py",
        "4 in all",
    ]
    assert run_tool("benchmarks/count_configs.py", tmp_path / "none").status == 1
