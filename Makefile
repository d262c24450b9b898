PYTHON ?= python3.11
STAMP := .venv/.installed
PLUGIN_STAMP := .venv-nxdi/.installed
PINS := requirements/torch.txt requirements/dev.txt

.PHONY: install demo test test-pools check clean install-nxdi-plugin test-nxdi-plugin

demo: $(STAMP)
	.venv/bin/python -m bench.demo

test: $(STAMP)
	scripts/test

check: $(STAMP)
	scripts/check

# Two real engines at once: for a machine that does nothing else.
test-pools: $(STAMP)
	.venv/bin/python -m pytest tests/engine/live_pools.py

install: $(STAMP)

$(STAMP): $(PINS) requirements/cpu.txt pyproject.toml scripts/install
	PYTHON=$(PYTHON) scripts/install
	touch $@

# The engine for Neuron over vLLM 0.16, in an environment of its own; docs/plugin.md.
test-nxdi-plugin: $(PLUGIN_STAMP)
	scripts/test-nxdi-plugin

install-nxdi-plugin: $(PLUGIN_STAMP)

$(PLUGIN_STAMP): $(PINS) requirements/nxdi-plugin.txt pyproject.toml scripts/install
	PYTHON=$(PYTHON) scripts/install .venv-nxdi nxdi-plugin.txt
	touch $@

clean:
	rm -rf .venv .venv-nxdi build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
