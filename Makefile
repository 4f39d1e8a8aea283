# The two commands of the README are `make demo` and `make test`; each sets up whatever it needs.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PY := .venv/bin/python
UV_VERSION := 0.13.8
BASE_EXTRAS := platform,embedded,trading
TEST_EXTRAS := platform,embedded,trading,gguf,test,bench
SEED ?= 20260101
# What the settings need to be read by checks that touch no service.
CHECK_ENV := MESH_ENV=test MESH_SECRET_KEY=checks MESH_DATA_DIR=.meshwork MESH_DATABASE_URL=postgres://none@127.0.0.1:1/none \
	MESH_REDIS_URL=redis://127.0.0.1:1/0 MESH_NODES_REDIS_URL=redis://127.0.0.1:1/0

.PHONY: help demo dev test tests test-long lint lint-style lint-meaning format bench wheel frontend frontend-check setup setup-test clean

help: ## Show the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

.venv/bin/uv:
	@command -v python3 >/dev/null || { echo "python3 is missing. Install python3 and python3-venv."; exit 6; }
	@python3 -m venv .venv || { echo "python3-venv is missing. Install it (apt install python3-venv)."; exit 6; }
	@.venv/bin/pip install --quiet --disable-pip-version-check "uv==$(UV_VERSION)"

.venv/.base: pyproject.toml constraints.txt | .venv/bin/uv
	@.venv/bin/uv pip install --quiet --python $(PY) -e '.[$(BASE_EXTRAS)]' -c constraints.txt
	@touch $@

.venv/.test: pyproject.toml constraints.txt | .venv/bin/uv
	@.venv/bin/uv pip install --quiet --python $(PY) -e '.[$(TEST_EXTRAS)]' -c constraints.txt
	@touch $@ .venv/.base

setup: .venv/.base
setup-test: .venv/.test
	@scripts/need-chromium

demo: setup ## Start a whole network on this machine, play the scenario, stay up (ONCE=1: play it and exit)
	@$(PY) -m meshwork.local demo $(if $(ONCE),--once)

dev: setup ## Start the site with auto-reload over the same services
	@$(PY) -m meshwork.local up --reload

lint: lint-style lint-meaning ## Every static check

lint-style: setup-test
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/djade --check --target-version 5.2 $$(git ls-files 'templates/*.html')
	@.venv/bin/lint-imports

lint-meaning: setup-test
	@$(CHECK_ENV) .venv/bin/mypy
	@$(CHECK_ENV) $(PY) -W ignore -m meshwork makemigrations --check --dry-run

format: setup-test ## Put the code into the house's form
	@.venv/bin/ruff check --fix --quiet . ; .venv/bin/ruff format .
	@.venv/bin/djade --target-version 5.2 $$(git ls-files 'templates/*.html') || true

test: setup-test ## Every check and the tests, with seeded samples
	@$(MAKE) --no-print-directory -j 2 lint-style frontend-check
	@$(MAKE) --no-print-directory -j 2 lint-meaning tests

# The end-to-end tests come first: one of the three processes is in them from the beginning, and mostly waits.
tests:
	@.venv/bin/pytest tests/e2e tests -q -n 3 --dist loadscope --no-loadscope-reorder --timeout 300 \
		-p no:cacheprovider --hypothesis-seed=$(SEED)

test-long: setup-test ## The long suites: millions of cases, chaos and soak
	@.venv/bin/pytest -q -m long -n 2 --dist loadscope --timeout 3600 -p no:cacheprovider --hypothesis-seed=$(SEED) \
		--durations=20

bench: setup-test ## The figures of bench/ (ONLY=name,name)
	@$(PY) -m bench $(if $(ONLY),--only $(ONLY))

wheel: setup-test ## Build the wheel into dist/
	@rm -rf dist && .venv/bin/uv build --quiet --wheel --out-dir dist

frontend: ## Rebuild the stylesheet and scripts (needs Node 20)
	@cd frontend && npm ci --silent && npm run --silent build

frontend-check: ## Rebuild and compare with what is committed
	@scripts/frontend-check

clean: ## Remove the environment and build output
	@rm -rf .venv dist build .mypy_cache .ruff_cache
