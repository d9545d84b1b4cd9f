"""The exported file in other languages: both read classes and normalisation from the file alone."""

import functools
import shutil
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmseg_gc.apis import inference_model

DEMO = Path(__file__).parents[2] / "demo/deploy"


@pytest.fixture(scope="module")
def street() -> np.ndarray:
    """RGB, smooth, of an odd size."""
    coarse = np.random.default_rng(5).integers(0, 256, (6, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((95, 77), Image.Resampling.BICUBIC))


@pytest.fixture(scope="module")
def expected(tiny_model, street) -> np.ndarray:
    labels = inference_model(tiny_model, street[..., ::-1].copy()).pred_sem_seg.data[0].numpy()
    assert len(np.unique(labels)) > 2
    return labels


def test_in_cpp(exported_openvino, street, expected, tiny_model, tmp_path):
    """Compiled against the headers in OpenVINO's wheel, and run without Python."""
    import openvino

    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("needs a C++ compiler: apt-get install g++")
    assert len((DEMO / "label.cpp").read_text().splitlines()) < 150
    home = Path(openvino.__file__).parent
    library = next((home / "libs").glob("libopenvino.so.*"))
    words = [compiler, "-std=c++17", "-O1", DEMO / "label.cpp", f"-I{home / 'include'}", library]
    program = tmp_path / "label"
    subprocess.run([*words, f"-Wl,-rpath,{home / 'libs'}", "-o", program], check=True)
    Image.fromarray(street).save(tmp_path / "street.ppm")

    def run(*names):
        return subprocess.run([program, *names], capture_output=True, text=True, cwd=tmp_path)

    done = run(exported_openvino, "street.ppm", "labels.pgm")
    assert done.returncode == 0, done.stderr
    found = np.asarray(Image.open(tmp_path / "labels.pgm"))
    assert (found == expected).mean() > 0.9995
    areas = dict(line.split("\t") for line in done.stdout.splitlines())
    names = tiny_model.dataset_meta["classes"]
    assert areas == {names[i]: str(int((found == i).sum())) for i in np.unique(found)}
    failed = run(exported_openvino, exported_openvino, "labels.pgm")
    assert failed.returncode == 1 and "is no PPM (P6) of 8 bits" in failed.stderr


@pytest.fixture(scope="module")
def site(exported, tmp_path_factory):
    """The address of the page, with ONNX Runtime from npm and the model beside it."""
    if shutil.which("npm") is None:
        pytest.skip("needs npm: apt-get install npm")
    folder = tmp_path_factory.mktemp("site")
    fetched = subprocess.run([DEMO / "fetch_runtime.sh", folder / "ort"], capture_output=True)
    if fetched.returncode:
        pytest.skip(f"onnxruntime-web can't be fetched: {fetched.stderr.decode()[-200:]}")
    shutil.copy(DEMO / "label.html", folder)
    shutil.copy(exported.path, folder / "model.onnx")
    (folder / "other.onnx").write_bytes(b"\x08\x0a")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/label.html"
        server.shutdown()


@pytest.mark.slow
@pytest.mark.browser
def test_in_a_browser(browser, site, street, expected, tmp_path):
    Image.fromarray(street).save(tmp_path / "street.png")
    page = browser.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(site)
    page.wait_for_selector("#image:not([disabled])", timeout=120_000)
    assert page.text_content("#said") == "11 classes. Choose an image."
    page.set_input_files("#image", tmp_path / "street.png")
    page.wait_for_function("window.labels !== null", timeout=120_000)
    found = np.array(page.evaluate("Array.from(window.labels)"), np.uint8).reshape(77, 95)
    assert (found == expected).mean() > 0.9995 and not errors
    assert "Building" in page.text_content("#legend") or len(page.text_content("#legend")) > 3
    page.goto(f"{site}?model=other.onnx")
    page.wait_for_function("document.getElementById('said').textContent.startsWith('Error')")
    assert "has no metadata of mmseg_gc" in page.text_content("#said")
    page.close()
