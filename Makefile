PYTHON ?= python3.11
STAMP := .venv/.installed

.PHONY: install demo test check clean

demo: $(STAMP)
	.venv/bin/python -m bench.demo

test: $(STAMP)
	scripts/test

check: $(STAMP)
	scripts/check

install: $(STAMP)

$(STAMP): $(wildcard requirements/*.txt) pyproject.toml scripts/install
	PYTHON=$(PYTHON) scripts/install
	touch $@

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
