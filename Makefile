# `make help` lists the targets. Nothing is installed outside $(VENV) and the cache.
SHELL := /bin/bash
.DEFAULT_GOAL := help
unexport PYTHONDONTWRITEBYTECODE # with it, every process would compile PyTorch and vLLM again: they are installed uncompiled
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONOPTIMIZE # the packages and the code are those of this folder
.PHONY: help setup plan study replay verify verify-arms experiments arms lineage site chat 00 01 02 03 04 05 06 07 08 fetch test lab doctor reference readme restamp perf benchmark-env lock benchmark-lock clean

VENV ?= .venv# in a conda environment: VENV="$$CONDA_PREFIX"
PROFILE ?= laptop# a file of notebooks/params
MODEL ?=# the model that is aligned: an embedded one's name, a hub id (owner/model@revision) or a folder
JUDGE ?=# the model that judges docstrings in notebook 01, named likewise; the profile's when empty
RUN ?=# the folder under data/runs; the profile's name when empty
ENGINE ?=# vllm, server, transformers, ray or replay; the profile's when empty
STAGES ?=# numbers of the stages that `make reference` copies, such as 05,06; the study's when empty
REFERENCE ?=# a folder of data/reference; the run's namesake or laptop when empty
GPUS ?=# for plan: the GPUs that the run will have, as 4xA100, where they are not in this machine
PRICE ?=# for plan: dollars a GPU-hour
WHAT ?= curate# a file of perf
DATA ?=# for WHAT=evaluate: the folder of the benchmarks' files
ARMS ?=# arms of data/experiments/plan.yaml, with commas, or grid; all of them when empty
DEVICE ?= $(shell ls "$(VENV)"/.installed-gpu-* >/dev/null 2>&1 && echo gpu || echo cpu)# cpu, or gpu for CUDA
WHICH ?=# for benchmark-env: ds1000, classeval or canitedit; all when empty
SLOW ?=# 1: `make test` runs the tests that only add certainty, too

WITHIN := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do $$p -c '$(WITHIN)' 2>/dev/null && echo $$p && break; done)
PY = "$(VENV)/bin/python"
LOCK = $(if $(filter gpu,$(DEVICE)),gpu,run)# which of requirements/*.lock is installed
OPTIONS = --profile "$(PROFILE)" $(if $(RUN),--run "$(RUN)")
CHOICES = $(OPTIONS) $(if $(MODEL),--model "$(MODEL)") $(if $(ENGINE),--engine "$(ENGINE)") $(if $(JUDGE),--judge "$(JUDGE)")

help: ## list the targets
	@echo "make TARGET [PROFILE=laptop] [MODEL=...] [JUDGE=...] [RUN=...] [ENGINE=vllm|server|...] [DEVICE=cpu|gpu]"
	@grep -hE '^[a-z0-9 -]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9 -]+):.*## ?/  \1|/' | column -t -s '|'

setup: ## make the virtual environment from the lock (once, and again when the lock changes)
	@$(if $(PYTHON),,echo "no usable Python found: install Python 3.11, 3.12 or 3.13 with its venv module, or give PYTHON=/path/to/python" >&2; exit 1)
	@"$(PYTHON)" requirements/install.py $(LOCK) $(DEV) "$(VENV)"

plan: setup ## reckon what a run of a profile needs and check what would stop it: PROFILE=..., GPUS=4xA100, PRICE=2.5
	@$(PY) -m lib.runner.plan $(CHOICES) $(if $(GPUS),--gpus "$(GPUS)") $(if $(PRICE),--price "$(PRICE)")

study: setup ## run the five notebooks, or what is not done of them
	@$(PY) -m lib.runner.run study $(CHOICES)

replay verify plan lineage site: LOCK = replay# also served by a larger lock
replay: setup ## run the notebooks from recorded completions: no model, only 0.9 GB of packages
	@$(PY) -m lib.runner.run study $(OPTIONS) --engine replay

verify: setup ## compare a finished run with the reference, claim by claim: RUN=..., REFERENCE=laptop
	@$(PY) -m lib.runner.verify --run "$(or $(RUN),$(basename $(notdir $(PROFILE))))" $(if $(REFERENCE),--reference "$(REFERENCE)")

verify-arms: setup ## compare the arms that ran here with the recorded ones in data/reference/arms
	@$(PY) -m lib.experiment verify

experiments: AGAIN = --out data/runs/experiments/again
experiments: setup ## hold every recorded arm against its pool and verdicts, train passing's first seed again and compare; ALL=1: all that are recorded
	@$(PY) -m lib.experiment check
	@$(PY) -m lib.experiment run $(AGAIN) --recorded $(if $(ALL),,--arms passing --seed 1)
	@$(PY) -m lib.experiment verify $(AGAIN)

arms: setup ## train and score the arms of data/experiments/plan.yaml, or what is not done of them: ARMS=passing,failing
	@$(PY) -m lib.experiment run $(if $(ARMS),--arms "$(ARMS)") && $(PY) -m lib.experiment compare

00 01 02 03 04 05 06 07 08: setup ## run one notebook and what it needs
	@$(PY) -m lib.runner.run $@ $(CHOICES)

fetch: setup ## download the models, the corpus and the benchmarks of a profile, so that a run can go offline
	@$(PY) -m lib.runner.fetch $(CHOICES)

perf: DEV = dev
test: DEV = dev docs
test: setup ## run the tests, those of engines alone afterwards; SLOW=1 for all of them
	@export SLOW="$(SLOW)"; status=0; \
	$(PY) -m pytest -n "$$(nproc)" --dist worksteal -m "not engine" || status=1; \
	$(PY) -m pytest -m engine || status=1; exit $$status

lineage: setup ## write the page that follows every training example to its source line: RUN=..., or the recorded run
	@$(PY) -m lib.lineage $(if $(RUN),--run "$(RUN)")

site: DEV = docs
site: setup ## build the site of the recorded notebooks into site/html: RUN=..., or the recorded run
	@$(PY) -m lib.lineage $(if $(RUN),--run "$(RUN)") --out site/extra/lineage
	@STUDY_SITE_RUN="$(RUN)" "$(VENV)/bin/sphinx-build" -q -W --keep-going -b html docs site/html
	@echo "open site/html/index.html in a browser"

chat: setup ## ask the tuned model in the terminal: RUN=..., or MODEL=...
	@$(PY) -m lib.train.chat $(if $(RUN),--run "$(RUN)") $(if $(MODEL),--model "$(MODEL)")

lab: setup ## open JupyterLab with this environment as its kernel
	@$(PY) -m lib.runner.lab

doctor: setup ## check this machine, one line per requirement
	@$(PY) -m lib.runner.doctor

reference: setup ## promote a finished run into data/reference: STAGES=06 takes these and keeps the others
	@$(PY) -m lib.runner.reference $(OPTIONS) $(if $(STAGES),--stages "$(STAGES)") $(if $(REFERENCE),--name "$(REFERENCE)")

readme: setup ## write the README's blocks anew from the records, as after `python -m lib.experiment record`
	@$(PY) -m lib.runner.reference --readme

restamp: setup ## take over the hashes of rewritten code into the reference, after an equal make replay
	@$(PY) -m lib.runner.reference $(OPTIONS) --restamp

perf: setup ## measure speed: WHAT=curate, near_duplicates, generate, sandbox, sft or evaluate (with DATA=)
	@$(PY) -m "perf.$(WHAT)" $(if $(DATA),--data "$(DATA)")

benchmark-env: ## build the locked interpreters of DS-1000, ClassEval and CanItEdit (Python 3.11; PYTHON311=... names one)
	@$(if $(PYTHON),"$(PYTHON)",python3) requirements/benchmark_env.py install $(WHICH)

lock: ## resolve requirements/*.in again (maintainers; needs uv)
	@"$(PYTHON)" requirements/lock.py

benchmark-lock: ## resolve requirements/benchmarks/*.in again (maintainers; needs uv)
	@"$(PYTHON)" requirements/benchmark_env.py lock $(WHICH)

clean: ## remove the virtual environment and caches of tools; runs and models stay
	@rm -rf .venv .pytest_cache .ruff_cache; find . -name __pycache__ -type d -prune -exec rm -rf {} +
