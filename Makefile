# Two commands do all set-up: `make run` and `make test`. PYTHON=python3.12 picks the interpreter.
SHELL := bash
VENV := .venv
BIN := $(VENV)/bin
DEMO := out/demo
SOURCES := $(shell find cpp cuda python cmake CMakeLists.txt pyproject.toml -type f \
	-not -name '*.so' -not -name '*.pyc' 2>/dev/null)
CXX_FILES = $(shell git ls-files -- '*.cpp' '*.hpp' '*.h' '*.cu' '*.cuh')

.PHONY: help run test bench lint format tidy stub gpu-pack clean
help:  ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(VENV)/installed  ## find tracks in a simulated event; print the table, write the display
	@rm -rf $(DEMO)
	@$(BIN)/rheinfall simulate 1 --out $(DEMO) --pile-up 20 --seed 1
	@$(BIN)/rheinfall find $(DEMO) --finder demo --display out/event.html --out out/tracks.csv

# The package without CUDA, as quick to build as it gets; remade when a source is newer.
$(VENV)/installed: tools/venv.sh $(SOURCES)
	@tools/venv.sh $(VENV)
	@echo "Installing rheinfall with the extras cli and onnx (compiles the library: about five minutes of one core) ..."
	@$(BIN)/python -m pip install -qq -C cmake.define.RHEINFALL_CUDA=OFF '.[cli,onnx]'
	@touch $@

test:  ## set everything up, run every check and test
	@tools/test.sh

bench: $(VENV)/bench  ## quick benchmark of each stage beside what it replaces
	@$(BIN)/python bench/run.py $(ARGS)
	@$(BIN)/python bench/quantized_peers.py --quick --seconds 0.2 --batches 1 10000

$(VENV)/bench: $(VENV)/installed
	@$(BIN)/python -m pip install -qq "tomli; python_version < '3.11'"
	@$(BIN)/python tools/requirements.py bench,onnx >$(VENV)/bench.txt
	@$(BIN)/python -m pip install -qq -r $(VENV)/bench.txt
	@touch $@

lint: $(VENV)/tools  ## ruff, clang-format, mypy
	@tools/lint.sh

format: $(VENV)/tools  ## rewrite the sources in the project's format
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .
	@$(BIN)/clang-format -i $(CXX_FILES)

tidy: $(VENV)/tools  ## clang-tidy on the library
	@tools/tidy.sh

stub: $(VENV)/tools  ## regenerate python/rheinfall/_core.pyi from the sources
	@export PATH="$(CURDIR)/$(BIN):$$PATH"; cmake --preset dev >/dev/null && cmake --build --preset dev --target _core
	@PYTHONPATH=python $(BIN)/python -m nanobind.stubgen -m rheinfall._core -o python/rheinfall/_core.pyi

gpu-pack: $(VENV)/tools  ## build with CUDA for a machine that has a GPU but no compiler: .gpu-pack/
	@tools/gpu_pack.sh

$(VENV)/tools: tools/setup.sh tools/venv.sh pyproject.toml
	@tools/setup.sh
	@touch $@

clean:  ## remove everything that is built, .venv included
	rm -rf build dist wheelhouse out .venv .gpu-pack .gpu-pack-python .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -f python/rheinfall/*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
