# `make film` and `make test` set up .venv by themselves; PYTHON picks the interpreter (3.11 or later for the pinned versions).
# TORCH_OPTIONS goes to torch's own pip command, to choose another build of it.
PYTHON ?= python3
TORCH_OPTIONS ?=
READY := .venv/.ready

# Where `make pocket` keeps its checkpoints: run it again after a kill and it goes on.
RUNS ?= runs

.PHONY: film test lint setup clean pocket pictures

film: $(READY)
	.venv/bin/mpvg film workflows/four_shots.yaml --out out

# Two processes of one thread each suit two cores and little memory.
test: $(READY)
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n 2 --dist loadfile

# Trains the pocket model from nothing and puts its weights into the package.
pocket: $(READY)
	OMP_WAIT_POLICY=passive .venv/bin/python -m mpvg_core.pocket.recipe all --runs $(RUNS)

# Makes the pictures of the templates, the help pages and the README anew, in a real ComfyUI (see CONTRIBUTING.md).
pictures: $(READY)
	.venv/bin/python tests/host/make_pictures.py

lint: $(READY)
	.venv/bin/ruff check
	.venv/bin/mypy

setup: $(READY)

# torch first and alone, so that nothing else chooses its build.
$(READY): requirements-dev.txt requirements.txt pyproject.toml
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH_OPTIONS) "$$(grep '^torch==' requirements-dev.txt)"
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	touch $@

clean:
	rm -rf .venv out build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
