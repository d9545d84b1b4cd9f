"""Each flag of train.py, test.py and label.py does something: its row differs from no flag's."""

import ast
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "configs/gcnet/gcnet_r18-d8_1xb8-20k_camvid-360x480.py"
PREPARING = dict(type="PrepareModelHook", precision="fp32", compile=False)
# tool: {flag with its values: the keys that it sets, whose values are others without it}
FLAGS = {
    "train.py": {
        "--work-dir": ("W/other", {"work_dir": "W/other"}),
        "--cfg-options": ("optim_wrapper.optimizer.lr=0.5", {"optim_wrapper.optimizer.lr": 0.5}),
        "--launcher": ("pytorch", {"launcher": "pytorch"}),
        "--gpus": ("2", {"processes": 2}),
        "--local-rank": ("3", {"rank": "3"}),
        "--non-strict": ("", {"strict_load": False}),
        "--trust-pickle": ("", {"trusted": True}),
        "--overwrite": ("", {"overwrite": True}),
        "--resume": ("a.pth", {"resume": True, "load_from": "a.pth"}),
        "--amp": ("", {"optim_wrapper.type": "mmseg_gc.AmpOptimWrapper", "val_cfg.fp16": True}),
        "--compile": ("", {"compile": True}),
        "--no-validate": ("", dict.fromkeys(["val_dataloader", "val_evaluator", "val_cfg"])),
        "--validate": None,  # test_validation_is_insisted_on
    },
    "test.py": {
        "--work-dir": ("W/other", {"work_dir": "W/other"}),
        "--cfg-options": ("test_dataloader.num_workers=0", {"test_dataloader.num_workers": 0}),
        "--launcher": ("pytorch", {"launcher": "pytorch"}),
        "--gpus": ("2", {"processes": 2}),
        "--local-rank": ("3", {"rank": "3"}),
        "--non-strict": ("", {"strict_load": False}),
        "--trust-pickle": ("", {"trusted": True}),
        "--aug-test": (
            "",
            {
                "model.type": "SegTTAModel",
                "model.module.type": "EncoderDecoder",
                "test_dataloader.dataset.pipeline.1.type": "TestTimeAug",
            },
        ),
        "--tta": ("", {"model.type": "SegTTAModel"}),
        "--precision": ("bf16", {"custom_hooks.0": {**PREPARING, "precision": "bf16"}}),
        "--compile": ("", {"custom_hooks.0": {**PREPARING, "compile": True}}),
        "--accelerate": ("none", {"accelerate": "none"}),
        "--batch-size": ("3", {"test_dataloader.batch_size": 3}),
        "--out": ("W/o", {"test_evaluator.output_dir": "W/o"}),
        "--report": (
            "W/r.html",
            {
                "custom_hooks.0": dict(
                    type="mmseg_gc.ReportHook",
                    path="W/r.html",
                    config=str(CONFIG),
                    checkpoint="w.pth",
                )
            },
        ),
        "--show-dir": (
            "W/s",
            {
                "default_hooks.visualization.draw": True,
                "default_hooks.visualization.out_dir": "W/s",
            },
        ),
        "--show": (
            "",
            {"default_hooks.visualization.draw": True, "default_hooks.visualization.show": True},
        ),
        "--wait-time": ("7 --show", {"default_hooks.visualization.wait_time": 7.0}),
        "--format-only": ("--out W/o", {"test_evaluator.type": "SubmissionWriter"}),
        "--eval": None,  # tests/engine/test_detection.py and test_metrics_are_refused
    },
    "label.py": {
        "--out-dir": ("W/o", {"out_dir": "W/o"}),
        "--skip-existing": ("", {"skip_existing": True}),
        "--device": ("cuda:1", {"device": "cuda:1"}),
        "--aug-test": ("", {"aug_test": True}),
        "--precision": ("bf16", {"precision": "bf16"}),
    },
}
ROWS = [
    pytest.param(tool, flag, *row, id=f"{tool} {flag}")
    for tool, flags in FLAGS.items()
    for flag, row in flags.items()
    if row is not None
]


def flags_of(*sources: str) -> set[str]:
    """The options that the code of ``sources`` adds to a parser."""
    return {
        argument.value
        for source in sources
        for call in ast.walk(ast.parse((ROOT / source).read_text()))
        if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "add_argument"
        for argument in call.args
        if isinstance(argument, ast.Constant) and str(argument.value).startswith("--")
    }


@pytest.mark.parametrize("tool", FLAGS)
def test_each_flag_has_a_row(tool):
    common = [] if tool == "label.py" else ["mmseg_gc/arguments.py"]
    assert flags_of(f"mmseg_gc/cli/{tool}", *common) == set(FLAGS[tool])


class Request(dict):
    """What a tool asked for; `value` looks a dotted key up."""

    def value(self, key: str):
        node = self["cfg"] if "cfg" in self and key.split(".")[0] in self["cfg"] else self
        for part in key.split("."):
            node = node[int(part)] if part.isdigit() else (node or {}).get(part)
        return node


@pytest.fixture
def ask(run_tool, monkeypatch, tmp_path):
    """``ask("train.py", "--amp")`` gives what the tool would run, and runs nothing."""

    def run(tool: str, *arguments: str) -> Request:
        found = Request()

        class Runner:
            def train(self):
                found.update(trusted=self.trust_pickle)

            test = train

        def of_config(cfg):
            found.update(cfg=cfg, rank=os.environ["LOCAL_RANK"])
            return Runner()

        def of_inferencer(config, weights, **options):
            found.update(options)
            return SimpleNamespace(stream=lambda images, **more: found.update(more) or [])

        def start(program, command):
            [count] = [a for a in command if a.startswith("--nproc_per_node=")]
            found.update(processes=int(count.partition("=")[2]))
            raise SystemExit(0)

        monkeypatch.setattr("mmseg_gc.engine.runner.SegRunner.from_cfg", of_config)
        monkeypatch.setattr("mmseg_gc.apis.MMSegInferencer", of_inferencer)
        monkeypatch.setattr(os, "execv", start)
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("LOCAL_RANK", "")  # put back when the test ends
        monkeypatch.delenv("LOCAL_RANK")
        monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
        needed = {"train.py": [], "test.py": ["w.pth"], "label.py": ["w.pth", "images"]}[tool]
        finished = run_tool(tool, CONFIG, *needed, *arguments)
        assert finished.status in (0, None), finished.err
        return found

    return run


@pytest.fixture(scope="module")
def plain() -> dict[str, Request]:
    """What each tool asks for without a flag, once it has been asked."""
    return {}


@pytest.mark.parametrize(("tool", "flag", "values", "sets"), ROWS)
def test_flag(ask, plain, tool, flag, values, sets):
    without = plain.get(tool) or ask(tool)
    plain[tool] = without
    given = ask(tool, flag, *values.split())
    for key, value in sets.items():
        assert given.value(key) == value
        assert without.value(key) != value


def test_resuming_without_a_name_is_automatic(ask):
    assert ask("train.py", "--resume").value("resume") == "auto"
    assert ask("train.py", "--resume", "auto").value("load_from") is None


def test_validation_is_insisted_on(run_tool, tmp_path):
    config = tmp_path / "own.py"
    config.write_text(
        f"_base_ = {str(CONFIG)!r}\nval_dataloader = val_cfg = val_evaluator = None\n"
    )
    finished = run_tool("train.py", config, "--validate")
    assert finished.status == 1
    assert re.search(r"--validate: .*own\.py has no val_dataloader", finished.err)
    assert run_tool("train.py", CONFIG, "--validate", "--no-validate").status == 2


def test_metrics_are_refused(run_tool):
    finished = run_tool("test.py", CONFIG, "w.pth", "--eval", "bbox")
    assert finished.status == 1 and "is scored by mIoU alone" in finished.err


def test_values_that_a_flag_does_not_have(run_tool):
    for tool, *arguments in (
        ("test.py", "w.pth", "--precision", "fp8"),
        ("test.py", "w.pth", "--accelerate", "all"),
        ("label.py", "w.pth", "p.png", "--precision", "fp8"),
        ("train.py", "--launcher", "ssh"),
    ):
        assert run_tool(tool, CONFIG, *arguments).status == 2
