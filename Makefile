# Two commands do everything on a fresh machine: make demo, make test.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PEERS := k-diffusion==0.1.1.post1 torchsde==0.2.6 trampoline torchdiffeq

.PHONY: demo test lint bench gpu bundle clean

demo: $(VENV)/installed
	$(BIN)/sigmabench demo --out runs/demo

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	mkdir -p $(VENV)/typed && ln -sfn $(CURDIR) $(VENV)/typed/sigmabench
	MYPYPATH=$(VENV)/typed $(BIN)/mypy -p sigmabench.samplers -p sigmabench.plugins -p sigmabench.eval -p sigmabench.reports

bench: $(VENV)/installed-dev
	$(BIN)/python -m sigmabench.eval.benchmarks

# On this machine's GPU; what it finds goes into reports by: python -m sigmabench.eval.on_gpu.collect runs/on-gpu --name NAME
gpu: $(VENV)/installed-dev
	$(BIN)/python -m sigmabench.eval.on_gpu runs/on-gpu

# A folder for a GPU machine without a package index; DATA names a folder with cifar10_train.parquet, for training.
bundle: $(VENV)/installed-dev
	$(BIN)/python -m sigmabench.eval.on_gpu.bundle build/on-gpu $(if $(DATA),--data $(DATA))

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	$(BIN)/python -m pip install --quiet --no-deps $(PEERS)
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
