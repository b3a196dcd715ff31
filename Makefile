# Every target makes the environment it needs: Python 3.11 or newer and make are enough.
PYTHON ?= python3
PYTHON_VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
# The newest JAX needs Python 3.12.
CONSTRAINTS := $(if $(filter 3.11,$(PYTHON_VERSION)),constraints.txt,constraints-py312.txt)
VENV := .venv
BIN := $(VENV)/bin
# Another Python makes another environment.
STAMP := $(VENV)/.installed-$(PYTHON_VERSION)
# A second environment, with PyTorch, for the targets that run the official code.
TORCH_VENV := .venv-torch
TORCH_STAMP := $(TORCH_VENV)/.installed-$(PYTHON_VERSION)
# A third, with Apache Beam, which wants older releases of some things.
BEAM_VENV := .venv-beam
BEAM_STAMP := $(BEAM_VENV)/.installed
# A fourth, with a detector of faces and bodies, which wants numpy below 2.
DETECTOR_VENV := .venv-detector
DETECTOR_STAMP := $(DETECTOR_VENV)/.installed
# A fifth, for an NVIDIA GPU: in the first, scripts would no longer take the machine for a CPU alone.
CUDA_VENV := .venv-cuda
CUDA_STAMP := $(CUDA_VENV)/.installed-$(PYTHON_VERSION)
PIP_FLAGS := --disable-pip-version-check --quiet --constraint $(CONSTRAINTS)
# Test files are distributed in the order of tests/conftest.py.
PYTEST_FLAGS ?= --numprocesses 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

.DEFAULT_GOAL := help
.PHONY: help demo demo-train check test test-long torch-env test-beam test-browser test-detector test-gpu format detector-table parity roundtrip bench bench-animate bench-evaluate bench-train bench-data bench-ops bench-parts golden clean

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

demo: $(STAMP) ## animate a drawn figure with the model that comes with the package: runs/demo/
	$(BIN)/python demo.py

demo-train: $(STAMP) ## the same with a small model, trained first in a quarter of an hour: runs/demo_train/
	$(BIN)/python demo.py --train

check: $(STAMP) ## formatting, lint, types, layers and the fast tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not slow and not long" $(PYTEST_FLAGS)

test: $(STAMP) ## all that must hold
	$(BIN)/python -m pytest -m "not long" $(PYTEST_FLAGS)

# XLA_FLAGS= compiles as users do: otherwise tests/conftest.py has XLA compile quickly.
test-long: $(STAMP) ## more seeds, sizes and interruptions, and code compiled as users have it
	$(BIN)/python -m pytest -m long $(PYTEST_FLAGS)
	XLA_FLAGS= $(BIN)/python -m pytest $(PYTEST_FLAGS) tests/official/test_ops.py \
	  tests/official/test_networks.py tests/official/test_chain.py tests/official/test_animation.py \
	  tests/unit/training/test_augment.py tests/unit/animation tests/unit/ops tests/unit/backends \
	  tests/unit/nn tests/scripts/test_animate.py

torch-env: $(TORCH_STAMP) ## the environment with PyTorch, for benchmarks/official

test-beam: $(BEAM_STAMP) ## data.prepare --beam, on Beam's own runner here
	$(BEAM_VENV)/bin/python -m pytest -W default tests/optional/check_beam.py

test-browser: $(STAMP) ## the pages in headless Chromium (Debian: apt install chromium chromium-driver)
	$(BIN)/python -m pip install $(PIP_FLAGS) --editable '.[browser]'
	$(BIN)/python -m pytest tests/optional/check_user_study.py tests/optional/check_report.py

test-detector: $(DETECTOR_STAMP) ## MediaPipe on a photograph, and the tables that are made with it
	$(DETECTOR_VENV)/bin/python -m pytest -W default --noconftest tests/optional/check_detector.py

test-gpu: $(CUDA_STAMP) ## the comparisons with the official code's arrays, on an NVIDIA GPU
	XLA_FLAGS= TPSM_TEST_PLATFORM=cuda XLA_PYTHON_CLIENT_PREALLOCATE=false \
	  $(CUDA_VENV)/bin/python -m pytest --numprocesses 4 -W default tests/official/test_ops.py \
	  tests/official/test_networks.py tests/official/test_chain.py tests/official/test_gradients.py \
	  tests/official/test_animation.py

format: $(STAMP) ## put the sources into their format
	$(BIN)/ruff check --fix --exit-zero --quiet .
	$(BIN)/ruff format .

# Makes a benchmark time the official code, too.
REFERENCE_FLAGS := $(if $(REFERENCE),--reference "$(REFERENCE)" --reference_python $(TORCH_VENV)/bin/python)
# Where `make bench` writes; RESULTS=benchmarks/results keeps a run.
RESULTS ?= runs/bench

bench: $(STAMP) $(if $(REFERENCE),$(TORCH_STAMP)) runs/procedural ## short runs of all benchmarks, in a quarter of an hour, into RESULTS (runs/bench); with REFERENCE=official-checkout draw docs/images/speed.png
	$(BIN)/python -m benchmarks.animate --checkpoint runs/procedural --batch_sizes 1 --rounds 4 \
	  --frames 4 --memory_frames --output $(RESULTS)/animate.json $(REFERENCE_FLAGS)
	$(BIN)/python -m benchmarks.train_step --rounds 4 --output $(RESULTS)/train_step.json $(REFERENCE_FLAGS)
	$(BIN)/python -m benchmarks.evaluate --checkpoint runs/procedural --clips 1 --frames 8 --rounds 2 \
	  --batch_sizes 1 --l1_batch_sizes --output $(RESULTS)/evaluate.json $(REFERENCE_FLAGS) \
	  $(if $(REFERENCE),--torch_checkpoint runs/procedural.pth.tar)
	$(BIN)/python -m benchmarks.data --clips 10 --frames 32 --folder runs/bench_data/few --rounds 3 --seconds 2 \
	  --output $(RESULTS)/data.json $(REFERENCE_FLAGS)
	$(BIN)/python -m benchmarks.ops --rounds 2 --output $(RESULTS)/ops.json $(REFERENCE_FLAGS)
	$(BIN)/python -m benchmarks.parts --rounds 2 --output $(RESULTS)/parts.json $(REFERENCE_FLAGS)
	$(if $(REFERENCE),$(BIN)/python docs/make_benchmark_plot.py $(RESULTS))

bench-animate: $(if $(VARIANTS),need-REFERENCE) $(STAMP) $(if $(REFERENCE),$(TORCH_STAMP)) $(if $(CHECKPOINT),,runs/procedural) ## time animation; REFERENCE=official-checkout compares with it, VARIANTS="eager onnxruntime" in these ways
	$(if $(VARIANTS),$(TORCH_VENV)/bin/python -m pip install $(PIP_FLAGS) -r benchmarks/official/requirements.txt)
	$(BIN)/python -m benchmarks.animate --checkpoint "$(or $(CHECKPOINT),runs/procedural)" $(ARGS) \
	  $(REFERENCE_FLAGS) $(if $(VARIANTS),--variants $(VARIANTS))

bench-evaluate: $(STAMP) $(if $(REFERENCE),$(TORCH_STAMP)) runs/procedural ## time evaluation; REFERENCE=official-checkout compares with it
	$(BIN)/python -m benchmarks.evaluate --checkpoint runs/procedural $(if $(DATA),--data "$(DATA)") $(ARGS) \
	  $(REFERENCE_FLAGS) $(if $(REFERENCE),--torch_checkpoint runs/procedural.pth.tar)

# Weights made from a seed, as an official file and converted; speed does not depend on them.
runs/procedural: | $(STAMP)
	$(BIN)/python -m tests.helpers.procedural --config configs/vox256.py --output runs/procedural.pth.tar
	$(BIN)/python convert_torch_weights.py --checkpoint runs/procedural.pth.tar \
	  --config configs/vox256.py --output runs/procedural

bench-train: $(STAMP) $(if $(REFERENCE),$(TORCH_STAMP)) ## time a training step; REFERENCE=official-checkout compares with it
	$(BIN)/python -m benchmarks.train_step $(ARGS) $(REFERENCE_FLAGS)

bench-data: $(STAMP) $(if $(REFERENCE),$(TORCH_STAMP)) ## time the reader of clips; REFERENCE=official-checkout compares with it
	$(BIN)/python -m benchmarks.data $(if $(DATA),--data "$(DATA)") $(ARGS) $(REFERENCE_FLAGS)

bench-ops: $(STAMP) $(if $(REFERENCE),$(TORCH_STAMP)) ## time each operation, as a share of the machine's limits; REFERENCE=official-checkout compares with it
	$(BIN)/python -m benchmarks.ops $(ARGS) $(REFERENCE_FLAGS)

bench-parts: $(STAMP) $(if $(REFERENCE),$(TORCH_STAMP)) ## time the parts of a frame, of a training step with ARGS=--training; REFERENCE=official-checkout compares with it
	$(BIN)/python -m benchmarks.parts $(ARGS) $(REFERENCE_FLAGS)

parity: need-REFERENCE need-CHECKPOINT $(TORCH_STAMP) ## compare with the official code: REFERENCE=checkout CHECKPOINT=file
	$(TORCH_VENV)/bin/python -m tests.official.parity --reference "$(REFERENCE)" --checkpoint "$(CHECKPOINT)" \
	  $(if $(CONFIG),--config "$(CONFIG)") $(if $(SOURCE),--source "$(SOURCE)") \
	  $(if $(DRIVING),--driving "$(DRIVING)") $(ARGS)

roundtrip: need-REFERENCE need-CHECKPOINT $(TORCH_STAMP) ## weights here and back, then loaded by the official code: REFERENCE= CHECKPOINT=
	$(TORCH_VENV)/bin/python convert_torch_weights.py --checkpoint "$(CHECKPOINT)" \
	  --config "$(or $(CONFIG),configs/vox256.py)" --output runs/roundtrip
	$(TORCH_VENV)/bin/python convert_torch_weights.py --to_torch runs/roundtrip --output runs/roundtrip.pth.tar
	$(TORCH_VENV)/bin/python -m tests.official.check_roundtrip --reference "$(REFERENCE)" \
	  --original "$(CHECKPOINT)" --checkpoint runs/roundtrip.pth.tar $(ARGS)

golden: need-REFERENCE $(TORCH_STAMP) ## remake tests/golden with the official code: REFERENCE=checkout
	$(TORCH_VENV)/bin/python -m tests.golden.make --reference "$(REFERENCE)" $(ARGS)
	$(TORCH_VENV)/bin/python -m tests.golden.make_resize
	$(TORCH_VENV)/bin/python -m tests.golden.make_jitter --reference "$(REFERENCE)"
	$(TORCH_VENV)/bin/python -m tests.golden.make_resize_crop --reference "$(REFERENCE)"

detector-table: need-INPUT need-OUTPUT $(DETECTOR_STAMP) ## key points of clips by MediaPipe: INPUT=folder OUTPUT=table.jsonl KIND=face|body
	$(DETECTOR_VENV)/bin/python -m detectors.table --input "$(INPUT)" --output "$(OUTPUT)" --kind "$(or $(KIND),face)" $(ARGS)

# REFERENCE is a checkout of GitHub yoyo-nb/Thin-Plate-Spline-Motion-Model.
need-%:
	@test -n "$($*)" || { echo "error: give $*=..., see make help" >&2; exit 2; }

clean: ## remove environments, caches and runs/
	rm -rf $(VENV) $(TORCH_VENV) $(BEAM_VENV) $(DETECTOR_VENV) $(CUDA_VENV) runs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment is made again when what it is made from has changed; the stamp comes last, so an
# interrupted installation is not taken for a finished one.
$(STAMP): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name it with make PYTHON=..."; exit 2; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install $(PIP_FLAGS) --editable '.[test]'
	@touch $@

$(TORCH_STAMP): pyproject.toml $(CONSTRAINTS) tests/official/requirements.txt
	$(PYTHON) -m venv --clear $(TORCH_VENV)
	$(TORCH_VENV)/bin/python -m pip install $(PIP_FLAGS) --editable . -r tests/official/requirements.txt
	$(TORCH_VENV)/bin/python -m pip install $(PIP_FLAGS) --no-deps torchvision==0.28.0
	@touch $@

$(BEAM_STAMP): pyproject.toml constraints-beam.txt
	$(PYTHON) -m venv --clear $(BEAM_VENV)
	$(BEAM_VENV)/bin/python -m pip install --disable-pip-version-check --quiet --constraint constraints-beam.txt --editable '.[beam]' pytest
	@touch $@

$(CUDA_STAMP): pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv --clear $(CUDA_VENV)
	$(CUDA_VENV)/bin/python -m pip install $(PIP_FLAGS) --editable '.[test,cuda]'
	@touch $@

$(DETECTOR_STAMP): detectors/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' || \
	  { echo "MediaPipe takes Python 3.11 or 3.12; name it with make PYTHON=..."; exit 2; }
	$(PYTHON) -m venv --clear $(DETECTOR_VENV)
	$(DETECTOR_VENV)/bin/python -m pip install --disable-pip-version-check --quiet -r detectors/requirements.txt
	@touch $@
