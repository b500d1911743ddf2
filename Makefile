# Every command that people and CI use. `make help` lists them.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIPELINE := .venv/bin/python -m pipeline
COMMIT ?= HEAD
PORT ?= 8000
NAME ?=
.DEFAULT_GOAL := help
.PHONY: help setup demo down test check format serve groovylint jenkins bench lock

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Make .venv from the hashed locks (does nothing when it is up to date)
	@$(PYTHON) pipeline/bootstrap.py

demo: setup ## Ship a commit (COMMIT=HEAD) to staging and production on this machine, and ask what it sees
	@$(PIPELINE) demo --commit $(COMMIT)

down: setup ## Remove everything that demo made: containers, volumes, processes
	@$(PIPELINE) down

test: check ## Run every test: style, types, fast and slow tests, browser, and the way of a commit on real hosts
	@$(PIPELINE) doctor --install
	@.venv/bin/python -m tests.machine
	@.venv/bin/python -m pytest -n auto --dist loadfile -m "not docker and not browser"
	@.venv/bin/python -m pytest -m browser
	@.venv/bin/python -m pytest -m docker

check: setup ## Style and types
	@.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy

format: setup ## Format the code
	@.venv/bin/ruff format . && .venv/bin/ruff check --fix .

serve: setup ## Run the service alone on PORT (8000), with embedded storage
	@SERVICE_PORT=$(PORT) SERVICE_SIGN_UP=$${SERVICE_SIGN_UP:-true} .venv/bin/python -m service

groovylint: ## Lint the Jenkinsfile, too (needs Node and Java; brings npm-groovy-lint)
	@npx --yes npm-groovy-lint@16.2.0 --noserver --failon info Jenkinsfile

jenkins: ## Build the agents and a controller of your own, and start it (needs jenkins/.env and Docker Compose)
	@docker compose --file jenkins/compose.yaml --profile agents build
	@docker compose --file jenkins/compose.yaml up --build --detach controller

bench: setup ## Measure (NAME=one benchmark, or all), print the table, write var/bench/NAME.json
	@.venv/bin/python -m tests.bench $(NAME)

lock: setup ## Make the locks again from requirements/*.in
	@cd requirements && for name in bootstrap service pipeline dev; do ../.venv/bin/uv pip compile --quiet --upgrade --generate-hashes --only-binary=:all: --python-version=3.11 --no-emit-index-url --no-header $$name.in --output-file=$$name.txt || exit 3; done
