# Tenantry. `make` alone tells what there is. Works as root, or as a user who may use sudo.

VENV   := .venv
PYTHON := $(VENV)/bin/python
# Debian's own Python: Mininet is installed for it, whatever else comes first on the PATH.
SYSTEM_PYTHON := /usr/bin/python3
STAMP  := $(VENV)/.installed

# Namespaces and switches need root; without it and sudo the demo says so and tests skip. What root
# runs must not litter the user's tree with its files.
ifneq ($(shell id -u),0)
ifneq ($(shell command -v sudo),)
SUDO := sudo env CI=$(CI) PYTHONDONTWRITEBYTECODE=1 PYTEST_ADDOPTS="-p no:cacheprovider" \
        HYPOTHESIS_STORAGE_DIRECTORY=/tmp/tenantry-hypothesis
endif
endif

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: HOSTS = # even if the environment has one
demo: machine $(STAMP) ## two tenants, who reaches whom; HOSTS=3 with tunnels; AUTH=keystone with one; CHECK=1 exits after it
	@$(SUDO) $(SYSTEM_PYTHON) -B mininet/demo.py --tenantry $(CURDIR)/$(VENV)/bin/tenantry \
	    $(if $(strip $(HOSTS)),--hosts $(HOSTS)) $(if $(AUTH),--auth $(AUTH)) $(if $(CHECK),--check)

.PHONY: experiment
experiment: NAME := east-west
experiment: machine $(STAMP) ## NAME=east-west, gateway (one dies), move (of a port), load-balancer; draws build/NAME.png
	@$(if $(filter east-west gateway move load-balancer,$(NAME)),,\
	    $(error NAME is east-west, gateway, move or load-balancer))
	@mkdir -p build
	@$(SUDO) $(SYSTEM_PYTHON) -B mininet/$(subst -,_,$(NAME)).py \
	    --png $(CURDIR)/build/$(NAME).png --tenantry $(CURDIR)/$(VENV)/bin/tenantry

.PHONY: test
test: machine $(STAMP) ## the whole suite; TESTS=tests/unit runs a part
ifdef TESTS
	@$(SUDO) $(PYTHON) -m pytest -q $(TESTS)
else
	@mkdir -p build
	@# Three parts beside each other; real packets are in namespaces of their own.
	@$(SUDO) $(PYTHON) -m pytest -q tests/hosts tests/attack >build/hosts.log 2>&1 & hosts=$$!; \
	    $(SUDO) $(PYTHON) -m pytest -q tests/netns >build/packets.log 2>&1 & packets=$$!; \
	    $(SUDO) $(PYTHON) -m pytest -q --ignore=tests/netns --ignore=tests/hosts \
	        --ignore=tests/attack; others=$$?; \
	    wait $$packets; packets=$$?; cat build/packets.log; \
	    wait $$hosts; hosts=$$?; cat build/hosts.log; exit $$((others | packets | hosts))
endif

.PHONY: run
run: openvswitch $(STAMP) ## the controller on this machine's Open vSwitch; CONFIG=file
	@$(SUDO) $(VENV)/bin/tenantry $(if $(CONFIG),--config-file $(CONFIG)) serve

.PHONY: lint
lint: $(STAMP) ## ruff and mypy --strict
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy

.PHONY: format
format: $(STAMP) ## lay the code out, mend what ruff can mend
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

.PHONY: bench
bench: machine $(STAMP) ## every figure beside its bar, also in build/bench.json; ONLY=name runs one
	@mkdir -p build
	@$(SUDO) $(PYTHON) -m tests.bench $(ONLY)

.PHONY: fuzz
fuzz: machine $(STAMP) ## new random histories, until one fails or time is up; MINUTES=10
	@end=$$(($$(date +%s) + 60 * $(or $(MINUTES),10))); \
	while HYPOTHESIS_PROFILE=fuzz $(PYTHON) -m pytest -q -x tests/property; do \
	    [ $$(date +%s) -lt $$end ] || exit 0; \
	done; exit 1

.PHONY: attack
attack: machine $(STAMP) ## hostile frames, floods, lying peers, kills, until one gets through; MINUTES=10
	@end=$$(($$(date +%s) + 60 * $(or $(MINUTES),10))); seed=$$(date +%s); \
	while echo "attacks of seed $$seed" && $(SUDO) env HYPOTHESIS_PROFILE=fuzz ATTACK_SECONDS=20 \
	    ATTACK_SEED=$$seed $(PYTHON) -m pytest -q -x tests/attack tests/property/test_guest_bytes.py; do \
	    [ $$(date +%s) -lt $$end ] || exit 0; \
	    seed=$$((seed + 1)); \
	done; exit 1

.PHONY: conformance
conformance: machine $(STAMP) build/conformance/.installed ## the public API suites, a real Keystone; SUITE=octavia, PART=ci, failed or a word
	@$(SUDO) $(PYTHON) -m tests.conformance --venv build/conformance \
	    $(if $(SUITE),--suite $(SUITE)) $(if $(PART),--part $(PART))

.PHONY: ansible
ansible: $(STAMP) build/ansible/.installed ## Ansible's modules for networks by each door, twice: the second run changes nothing
	@$(SUDO) $(PYTHON) -m pytest -q tests/clients/test_ansible.py

.PHONY: docs
docs: $(STAMP) ## regenerate docs/pipeline.md, docs/drops.md and docs/model.md from the code
	@$(PYTHON) -m tenantry.controller.sample.pages

.PHONY: changelog
changelog: $(STAMP) ## what docs/changes says, as it will be read; VERSION=1.2.3 writes CHANGELOG.md
	@$(VENV)/bin/towncrier build $(if $(VERSION),--yes --version $(VERSION),--draft --version next)

.PHONY: clean
clean: ## remove everything that the other targets made here
	@rm -rf $(VENV) build *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

build/conformance/.installed: tests/conformance/requirements.txt
build/ansible/.installed: tests/clients/requirements.txt
build/conformance/.installed build/ansible/.installed:
	@.ci/install-packages python
	@echo "Installing what $< names into $(@D); it takes a minute or two"
	@$(SYSTEM_PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

# What the targets above stand on. Each does nothing, quickly, when there is nothing to do.

.PHONY: machine
machine:
	@.ci/install-packages all

.PHONY: openvswitch
openvswitch: machine ## start this machine's Open vSwitch, with or without an init system
	@.ci/start-openvswitch

$(STAMP): setup.cfg pyproject.toml
	@.ci/install-packages python
	@echo "Installing Tenantry into $(VENV); the first time takes a minute"
	@$(SYSTEM_PYTHON) -m venv $(VENV)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@
