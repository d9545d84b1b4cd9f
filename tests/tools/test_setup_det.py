"""Which wheel of mmcv's ops `make det` compiles and installs; python and pip are stand-ins."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATH = "/usr/bin:/bin"
ABI = "cpython-311-x86_64-linux-gnu"
DEFAULT_CARDS = "7.5;8.0;8.6;9.0+PTX"

# Python with a torch of a chosen build; pip writes down what it was asked for.
PYTHON = f"""#!/bin/bash
case "$*" in
*"import sysconfig, torch"*) echo "$FAKE_TORCH {ABI} $FAKE_CUDA" ;;
*get_compiling_cuda_version*) echo "$FAKE_OPS" ;;
*" wheel "*)
    while [ "$1" != --wheel-dir ]; do shift; done
    mkdir -p "$2" && echo ops > "$2/onedl_mmcv-2.3.6-$FAKE_TORCH.whl"
    echo "COMPILED FORCE_CUDA=$FORCE_CUDA CARDS=$TORCH_CUDA_ARCH_LIST" ;;
*) echo "PIP $*" ;;
esac
"""


@pytest.fixture
def setup_det(tmp_path):
    """Run the script for a torch whose CUDA is ``cuda``; ``nvcc`` is there unless told not."""
    binaries = tmp_path / "venv/bin"
    for path, text in (
        (binaries / "python", PYTHON),
        (tmp_path / "cuda/bin/nvcc", "#!/bin/bash\n"),
    ):
        path.parent.mkdir(parents=True)
        path.write_text(text)
        path.chmod(0o755)

    def run(cuda=None, torch="2.13.0", nvcc=True, ops=None, **variables):
        environment = {
            "PATH": PATH,
            "HOME": str(tmp_path),
            "MMCV_WHEELS": str(tmp_path / "wheels"),
            "CUDA_HOME": str(tmp_path / ("cuda" if nvcc else "none")),
            "FAKE_TORCH": torch,
            "FAKE_CUDA": cuda or "cpu",
            "FAKE_OPS": ops or cuda or "not available",
            **variables,
        }
        return subprocess.run(
            [ROOT / "tools/setup_det.sh", tmp_path / "venv"],
            env=environment, capture_output=True, text=True, timeout=20,
        )  # fmt: skip

    return run


def wheel_folders(tmp_path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "wheels").iterdir())


def test_a_cpu_build_never_serves_a_torch_for_cuda(setup_det, tmp_path):
    """Both torches call themselves 2.13.0, as those that people build themselves do."""
    first = setup_det(cuda=None)
    assert "COMPILED FORCE_CUDA= CARDS=\n" in first.stdout
    assert wheel_folders(tmp_path) == [f"torch-2.13.0-cpu-{ABI}"]
    second = setup_det(cuda="12.6")
    assert f"COMPILED FORCE_CUDA=1 CARDS={DEFAULT_CARDS}\n" in second.stdout
    cards = DEFAULT_CARDS.replace(";", "_")
    of_cuda = f"torch-2.13.0-cuda12.6-{cards}-{ABI}"
    assert wheel_folders(tmp_path) == [f"torch-2.13.0-cpu-{ABI}", of_cuda]
    assert f"wheels/{of_cuda}/onedl_mmcv-" in second.stdout


def test_what_was_compiled_is_used_again_and_replaces_what_is_installed(setup_det):
    setup_det(cuda="12.6")
    again = setup_det(cuda="12.6")
    assert again.returncode == 0 and "COMPILED" not in again.stdout
    forced = [line for line in again.stdout.splitlines() if "--force-reinstall" in line]
    assert len(forced) == 1 and "cuda12.6" in forced[0]


@pytest.mark.parametrize(
    "change", [dict(cuda="13.0"), dict(torch="2.14.0"), dict(TORCH_CUDA_ARCH_LIST="7.0 9.0")]
)
def test_another_cuda_torch_or_card_is_compiled_anew(change, setup_det, tmp_path):
    setup_det(cuda="12.6")
    second = setup_det(**dict(cuda="12.6") | change)
    assert f"CARDS={change.get('TORCH_CUDA_ARCH_LIST', DEFAULT_CARDS)}\n" in second.stdout
    assert len(wheel_folders(tmp_path)) == 2
    assert not any(" " in name or ";" in name for name in wheel_folders(tmp_path))


@pytest.mark.skipif(bool(shutil.which("nvcc", path=PATH)), reason="there is an nvcc in /usr/bin")
def test_no_compiler_for_cuda(setup_det, tmp_path):
    finished = setup_det(cuda="12.6", nvcc=False)
    assert finished.returncode == 1
    assert finished.stderr.count("\n") == 1
    assert "nvcc isn't found: install the CUDA toolkit 12.6" in finished.stderr
    assert not (tmp_path / "wheels").exists()


def test_ops_without_cuda_are_found_out(setup_det):
    finished = setup_det(cuda="12.6", ops="not available")
    assert finished.returncode == 1
    assert "have no CUDA in them" in finished.stderr and "remove that file" in finished.stderr
    assert setup_det(cuda=None).returncode == 0


def test_the_question_that_the_stand_in_answers(capsys):
    """What the script asks python prints three words without a space in them."""
    script = (ROOT / "tools/setup_det.sh").read_text()
    exec(script.split('-W ignore -c "')[1].split('")\n')[0], {})
    torch, abi, cuda = capsys.readouterr().out.split()
    assert torch[0].isdigit() and abi.startswith("cpython-") and cuda
