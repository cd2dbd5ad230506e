# Everything runs from .venv, which `make install` builds; PYTHON picks the interpreter it is made from.
PYTHON ?= python3
VENV := .venv
MILVUS := .venv-milvus
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TINY := medsiglip/checkpoints/tiny

export PYTHONDONTWRITEBYTECODE ?=

.DEFAULT_GOAL := help
.PHONY: help install milvus-server milvus-test demo serve test long-test lint bench gpu-check checkpoint kill-test crash-test reader-kill-test writers-test engines-test jobs-test receive-test sync-test routing-test statements-test privacy-test certificate-test large-index coverage-test search-test screen-install screen screen-test ohif-test screenshots conformance probe-parity-test calibration-test scope-test why-localisation study-retrieval sbom capacity contract load-test steady fuzz known-files-test ray-test parity clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## build .venv with everything needed to run, develop and test

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed; say make PYTHON=/path/to/python3.11") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(INSTALLED) ## synthetic studies -> DICOM -> ingest -> zero-shot, retrieval and probe tables, offline
	$(BIN)/medsiglip demo

# Two processes on two cores: threads of their own would wait for each other, and spin.
test: export OMP_NUM_THREADS ?= 1
# Hundreds of processes of the tests import the same files: compiled once, whatever the surroundings say.
test long-test: export PYTHONDONTWRITEBYTECODE :=
test: $(INSTALLED) milvus-server ## all tests (set MEDSIGLIP_TEST_DATA and MEDSIGLIP_TEST_CASES to include those on real files and reported cases)
	$(BIN)/python -m pytest -n 2 --dist loadfile --durations 60 --durations-min 5

long-test: export OMP_NUM_THREADS ?= 1
long-test: $(INSTALLED) ## what is too long for `make test`: more cases of its tests, and more of its kinds (half an hour)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m long

lint: $(INSTALLED) ## ruff, mypy --strict and the documentation's links
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m tests.type_check
	$(BIN)/mkdocs build --strict --quiet

# Who has made no archive yet sees that of the demonstration, if there is one; the command says which it opens.
OTHER_HOME = $(MEDSIGLIP_HOME)$(MEDSIGLIP_CONFIG)$(wildcard $(HOME)/.local/share/medsiglip/identity.json)
SERVED_HOME = $(if $(OTHER_HOME),,$(if $(wildcard demo-output/identity.json),--home demo-output))

serve: $(INSTALLED) ## the HTTP service, a worker and the screen at http://127.0.0.1:8000/, on this machine alone
	$(BIN)/medsiglip $(SERVED_HOME) serve

bench: $(INSTALLED) ## ratios against peers and limits; writes benchmarks/results/<machine>.json
	$(BIN)/python -m benchmarks

gpu-check: $(INSTALLED) ## index kinds and ratios on a GPU, in four minutes; without one on the processor, storing nothing
	$(BIN)/python -m benchmarks.gpu

checkpoint: $(INSTALLED) ## synthesise phantoms and train the tiny model anew (up to 45 minutes on 2 cores)
	rm -rf $(TINY).new
	$(BIN)/python -m medsiglip.phantoms.checkpoint.make_checkpoint --out $(TINY).new
	rm -rf $(TINY) && mv $(TINY).new $(TINY)

kill-test: $(INSTALLED) ## twenty ingests killed with SIGKILL at random moments, each repaired by a plain re-run
	$(BIN)/python -m pytest -m campaign tests/api/jobs/test_kill.py

milvus-server: $(MILVUS)/.installed ## the Milvus server that tests start, in .venv-milvus (350 MB; a minute)

# Where it cannot be had, the tests on it are skipped and say so.
$(MILVUS)/.installed:
	@rm -rf $(MILVUS)
	@$(PYTHON) -m venv $(MILVUS) && $(MILVUS)/bin/python -m pip install --quiet --no-deps milvus==2.3.5 \
	  && $(MILVUS)/bin/python -c 'from milvus import _initialize_data_files as unpack; unpack("$(MILVUS)/server")' \
	  && touch $@ || { rm -rf $(MILVUS); echo "the Milvus server of PyPI cannot be had here; tests on it are skipped" >&2; }

milvus-test: $(INSTALLED) milvus-server ## a Milvus server killed while writers add, delete and search, twenty times (some minutes)
	$(BIN)/python -m pytest -m campaign -s tests/index/engines/milvus/test_milvus_campaign.py

crash-test: $(INSTALLED) ## a process that dies at every single step of a write, on SQLite and PostgreSQL
	$(BIN)/python -m pytest -m campaign tests/index/storage/test_crash.py

reader-kill-test: $(INSTALLED) ## 200 writers killed while readers search, on SQLite and PostgreSQL (some minutes)
	$(BIN)/python -m pytest -m campaign -s tests/index/storage/test_readers_and_kills.py

writers-test: $(INSTALLED) ## ten committers in contention on one home, six of them killed, twelve times, on SQLite and PostgreSQL (some minutes)
	$(BIN)/python -m pytest -m campaign -s tests/index/storage/test_many_writers.py

engines-test: $(INSTALLED) milvus-server ## what vector engines are told and answer, with processes that end at each step (some minutes)
	$(BIN)/python -m pytest -m "long or not long or campaign" -s tests/index/engines --ignore tests/index/engines/milvus

receive-test: $(INSTALLED) ## all DICOM test data sent while receiver, its processes and worker are killed (some minutes)
	$(BIN)/python -m pytest -m campaign -s tests/api/receiving/test_receive_campaign.py

jobs-test: $(INSTALLED) ## two servers and their workers on one PostgreSQL, killed now and then (three minutes)
	$(BIN)/python -m pytest -m campaign -s tests/api/jobs/test_job_campaign.py

sync-test: export MEDSIGLIP_OWN_NETWORK = 1
sync-test: $(INSTALLED) ## interrupt a sync of 2,000 studies twenty times: kill -9 of it and of Orthanc, and a network that is cut (root)
	unshare --net sh -c 'ip link set lo up && exec $(BIN)/python -m pytest -m campaign -s tests/api/archive/pacs/test_sync_campaign.py'

routing-test: $(INSTALLED) ## 200 synthetic studies ingested and routed by workers that are killed at every stage
	$(BIN)/python -m pytest -m campaign -s tests/api/archive/drafts/test_routing_rules.py

statements-test: $(INSTALLED) ## every statement with 20,000 things, and an ingest into a home of 10,000 studies
	$(BIN)/python -m pytest -m campaign tests/index/catalogue/test_statement_sizes.py tests/api/archive/test_large_home.py

certificate-test: $(INSTALLED) ## 100,000 answers that bounds prove, on hostile vectors, against whole numbers (ten minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m campaign -s tests/index/search/kinds/test_certificates.py

large-index: $(INSTALLED) ## indexes of 1,000,000 x 1152 and 10,000,000 x 384 built, saved, opened and asked (40 GB of disk)
	$(BIN)/python -m benchmarks.search.large_index 1000000 1152
	$(BIN)/python -m benchmarks.search.large_index 10000000 384

why-localisation: $(INSTALLED) ## maps of texts and pairs of patches on phantoms, beside other maps (some minutes)
	$(BIN)/python -m benchmarks.probes.why_localisation

coverage-test: $(INSTALLED) ## how often intervals hold what they should, in every setting (an hour; begins where it was stopped)
	$(BIN)/python -m pytest -m campaign -s tests/medsiglip/figures/test_coverage.py tests/medsiglip/figures/test_paired.py tests/medsiglip/figures/test_operating_points.py

search-test: $(INSTALLED) ## searches of every kind against brute force, and many readers beside writers (some minutes)
	$(BIN)/python -m pytest -m "campaign or not campaign" tests/index/search/test_search.py tests/index/search/test_current_space.py

screen-install: ## the packages of npm that build the screen and that its tests use (node 20)
	cd api/web && npm ci --no-audit --no-fund --loglevel=error

screen: screen-install ## build the screen's sources into api/web/built
	cd api/web && npm run --silent check && npm run --silent build

screen-test: $(INSTALLED) screen-install ## every page of the screen in every state, light and dark, and all journeys (a quarter of an hour)
	$(BIN)/python -m pytest -m "campaign or not campaign" -s tests/web

ohif-test: $(INSTALLED) ## OHIF opens a CT in Chromium; MEDSIGLIP_TEST_OHIF names the file that `npm pack @ohif/app` made
	$(BIN)/python -m pytest -m campaign -s tests/web/test_ohif.py

screenshots: $(INSTALLED) ## pictures of every page, light and dark, into docs/screens
	$(BIN)/python -m tests.web.screenshots

conformance: $(INSTALLED) ## the tables of docs/conformance.md, from the code
	$(BIN)/python -m tests.ingest.pacs.conformance_tables

probe-parity-test: $(INSTALLED) ## probes on all labelled pictures of the test data against scikit-learn on the same folds (some minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m campaign -s tests/api/archive/probes/test_scikit_learn_parity.py

scope-test: $(INSTALLED) ## texts and pictures that fit nothing, 200 of each, told from new phantoms (some minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m campaign -s tests/api/archive/scores/test_scope_campaign.py

calibration-test: $(INSTALLED) ## calibrated scores of 2,400 phantom studies, and coverage of calibration errors (half an hour)
	$(BIN)/python -m pytest -m campaign -s tests/medsiglip/calibration tests/medsiglip/figures/test_calibration_error.py

study-retrieval: $(INSTALLED) ## studies compared set to set and by means, on phantoms of three seeds (6 minutes)
	$(BIN)/python -m benchmarks.search.study_retrieval

sbom: $(INSTALLED) ## sbom.cdx.json: a bill of materials of the environment, by CycloneDX (a minute)
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-format JSON --spec-version 1.6 --output-file sbom.cdx.json $(BIN)/python

capacity: $(INSTALLED) ## docs/capacity.md, from the measured rates in benchmarks/results
	$(BIN)/python -m benchmarks.capacity

privacy-test: $(INSTALLED) ## 200 made-up people of many scripts ingested, of whom no byte of the home says anything
	$(BIN)/python -m pytest -m campaign tests/api/privacy/test_made_up_identities.py

contract: $(INSTALLED) ## the whole HTTP description tried by schemathesis, with state (some minutes)
	$(BIN)/python -m pytest -m campaign -s tests/api/http/test_contract.py

load-test: $(INSTALLED) ## 32 clients for a minute, then a server that is killed three times under load
	$(BIN)/python -m pytest -m campaign -s tests/api/http/test_load.py

steady: $(INSTALLED) ## a hundred interrupted ingests of a folder of everything, each ending in the same index
	$(BIN)/python -m pytest -m campaign tests/ingest/run/test_same_index.py

ray-test: $(INSTALLED) ## two nodes of Ray on loopback, of which something is killed forty times (half an hour)
	$(BIN)/python -m pytest -m campaign -s tests/ingest/engines/test_ray.py

known-files-test: $(INSTALLED) ## ingest again over 1,000,000 known files in 600 MB, on SQLite and PostgreSQL (some minutes, 3 GB of disk)
	$(BIN)/python -m pytest -m campaign -s tests/ingest/run/test_known_files.py -k million

parity: $(INSTALLED) ## full-size So400m/448 against transformers, random weights (about 12 GB of memory)
	$(BIN)/python -m pytest -m campaign -s tests/medsiglip

fuzz: $(INSTALLED) ## 20,000 damaged files ingested (about two minutes on 2 cores)
	$(BIN)/python -m pytest -m campaign -s tests/ingest/test_mutations.py

clean: ## remove .venv, caches and the demonstration's output
	rm -rf $(VENV) $(MILVUS) *.egg-info build dist site demo-output .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
