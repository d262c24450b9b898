PYTHON ?= python3.11
STAMP := .venv/.installed
PLUGIN_STAMP := .venv-nxdi/.installed
PEERS_STAMP := .venv-peers/.installed
CROSSCHECK_STAMP := .venv-crosscheck/.installed
PINS := requirements/torch.txt requirements/dev.txt

.PHONY: install demo test test-pools check clean install-nxdi-plugin test-nxdi-plugin \
	bench-gateway install-peers bench-crosscheck install-crosscheck soak test-deploy

demo: $(STAMP)
	.venv/bin/python -m bench.demo

test: $(STAMP)
	scripts/test

check: $(STAMP)
	scripts/check

# Two real engines at once: for a machine that does nothing else.
test-pools: $(STAMP)
	.venv/bin/python -m pytest tests/engine/live_pools.py

# As root and with Debian's prometheus: the Dockerfile's steps in a scratch root, newer versions of Kubernetes,
# each AWS call failing, gateways rolled forth and back, dashboards and alerts on what a real Prometheus scraped.
test-deploy: $(STAMP)
	.venv/bin/python -m pytest tests/deploy/slow/live_*.py

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

# What the gateway adds to each chunk, beside LiteLLM's proxy and vLLM's router. ARGS=--json for all.
bench-gateway: $(STAMP) $(PEERS_STAMP)
	.venv/bin/python -m bench.gateway $(ARGS)

install-peers: $(PEERS_STAMP)

$(PEERS_STAMP): requirements/peers.txt
	$(PYTHON) -m venv --clear .venv-peers
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--require-hashes -r requirements/peers.txt
	touch $@

# Our client beside vLLM's own benchmark and guidellm, on the bundled pair's engine; about five minutes.
bench-crosscheck: $(STAMP) $(CROSSCHECK_STAMP)
	.venv/bin/python -m bench.crosscheck $(ARGS)

install-crosscheck: $(CROSSCHECK_STAMP)

$(CROSSCHECK_STAMP): requirements/torch.txt requirements/crosscheck.txt
	$(PYTHON) -m venv --clear .venv-crosscheck
	for list in torch crosscheck; do \
		.venv-crosscheck/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
			--require-hashes -r requirements/$$list.txt || exit 1; \
	done
	touch $@

# Twenty minutes of clients that come and go and an engine that dies: does anything stay?
soak: $(STAMP)
	.venv/bin/python -m bench.gateway.soak --minutes $(or $(MINUTES),20)

clean:
	rm -rf .venv .venv-nxdi .venv-peers .venv-crosscheck build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
