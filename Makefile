# `make demo` and `make test` set up everything they need in .venv.
PYTHON ?= python3
VENV ?= .venv
DET_VENV ?= .venv-det
# What torch is installed from: --index-url https://download.pytorch.org/whl/cpu for a CPU build.
TORCH_ARGS ?=

BIN := $(VENV)/bin
# A test that hangs says where, and fails alone.
HANGING := -o faulthandler_timeout=300 -o faulthandler_exit_on_timeout=true
READY := $(VENV)/.ready
DET_READY := $(DET_VENV)/.ready
DEMO := work_dirs/demo
DEMO_CONFIG := configs/gcnet/gcnet_r18-d8_1xb4-demo_scenes-128x256.py
DEMO_WEIGHTS = $(DEMO)/iter_200.pth

.PHONY: setup demo test det test-det gpu-check docs package-check release-check lint clean

setup: $(READY)

# torch comes first and pinned: an open range would fetch gigabytes of CUDA packages.
$(READY): requirements/runtime.txt requirements/tests.txt requirements/constraints.txt pyproject.toml setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check $(TORCH_ARGS) \
	    "$$(grep '^torch==' requirements/constraints.txt)"
	$(BIN)/pip install --quiet --disable-pip-version-check -c requirements/constraints.txt \
	    -e '.[tests]'
	touch $@

demo: $(READY)
	$(BIN)/python tools/misc/draw_street_scenes.py data/demo/cityscapes --val 20
	$(BIN)/python tools/convert_datasets/cityscapes.py data/demo/cityscapes
	$(BIN)/python tools/train.py $(DEMO_CONFIG) --no-validate --work-dir $(DEMO)
	$(BIN)/python tools/test.py $(DEMO_CONFIG) $(DEMO_WEIGHTS) --work-dir $(DEMO)/slide \
	    --show-dir $(DEMO)/pictures
	$(BIN)/python tools/test.py $(DEMO_CONFIG) $(DEMO_WEIGHTS) --work-dir $(DEMO)/ms_flip --aug-test
	$(BIN)/mmseg_gc predict $(DEMO_CONFIG) $(DEMO_WEIGHTS) \
	    'data/demo/cityscapes/leftImg8bit/val/*/*.png' -o $(DEMO)/predicted --outputs overlay areas
	@if $(BIN)/mmseg_gc --help | grep -q '^  report '; then \
	    $(BIN)/mmseg_gc report $(DEMO_CONFIG) $(DEMO_WEIGHTS) -o $(DEMO)/report.html; fi
	@echo "Done: drawn predictions are in $(DEMO)/predicted/overlay; beside the labels in" \
	    "$(DEMO)/pictures."
	@if $(BIN)/mmseg_gc --help | grep -q '^  serve '; then \
	    echo "Next, in the browser: $(BIN)/mmseg_gc serve $(DEMO_CONFIG) $(DEMO_WEIGHTS)"; fi

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal $(HANGING)

# Detection, beside segmentation: mmcv's ops are compiled once and kept in ~/.cache/mmseg_gc.
det: $(DET_READY)

$(DET_READY): requirements/det.txt requirements/det-constraints.txt setup.py tools/setup_det.sh
	PYTHON="$(PYTHON)" TORCH_ARGS="$(TORCH_ARGS)" tools/setup_det.sh $(DET_VENV)
	touch $@

test-det: $(DET_READY)
	OMP_NUM_THREADS=1 $(DET_VENV)/bin/python -m pytest -m det

# The site, in build/site, of which build/site/index.html opens without a server.
docs: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check -c requirements/constraints.txt \
	    -r requirements/docs.txt
	$(BIN)/python tools/misc/write_zoo.py --check
	$(BIN)/python tools/misc/draw_rooms.py --check
	$(BIN)/python tools/misc/write_migrating_table.py --check
	$(BIN)/mkdocs build --strict

# Builds sdist and wheel and tries each in an environment of its own.
package-check:
	PYTHON="$(PYTHON)" TORCH_ARGS="$(TORCH_ARGS)" tools/misc/check_package.sh

# What stands before a release: versions agree, style, types, all tests, site, packages, licences.
release-check: $(READY)
	$(BIN)/python tools/misc/check_version.py
	$(MAKE) test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow tests/docs
	$(MAKE) docs
	$(MAKE) package-check
	$(BIN)/python tools/misc/check_licences.py

# On a machine with a GPU: right beside the CPU in every way, then fast; stops within eight minutes.
gpu-check: $(READY)
	$(BIN)/python tools/gpu_check $(PEER:%=--peer %) $(GPU_CHECK_ARGS)

lint: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) $(DET_VENV) work_dirs data/demo
