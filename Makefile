# make demo     build a disk from a real system tree and show what is on it
# make test     everything that must be green: unit, property, grammar, contract, oracle and end-to-end tests, ruff, mypy
# make test-net only the tests with foreign servers and clients in network namespaces, as root
# make test-boot virtual machines that boot from the network, are imaged, and start their systems, as root
# make test-editor  the extension for Visual Studio Code: grammar, language server, package; needs node and npm
# make bench    measure against partclone, zstd, qemu-img, mcopy, debugfs, mke2fs ... and print tables: an hour (ARGS=--short: 3 minutes)
# make soak     hours: fuzz, power-cuts (every cut point), and properties (as many examples as PROPERTY_SECONDS allow, and the slow tests)
# make fuzz     the parsers of bytes from outside, guided by coverage (FUZZ_SECONDS=120 each)
# make docs     the manual as a web site: build/docs/index.html
# make setup    only the virtual environment and the system packages

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-net test-boot test-editor bench soak fuzz power-cuts properties setup packages docs clean

demo: setup
	$(BIN)/python -m tests.demo

test: setup
	$(BIN)/python -m pytest -q -n 2 --dist worksteal

# Foreign servers and clients, virtual machines that boot from the network.
test-net: setup
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m net

# The boot environment on virtual machines: as root, under 20 minutes on an idle machine with two processors.
test-boot: setup
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m "slow or not slow" tests/boot

# With the libraries that the editor is made of.
test-editor: setup
	cd editors/vscode && npm install --no-audit --no-fund --no-package-lock --loglevel=error
	cd editors/vscode && BPSCRIPT="$(CURDIR)/$(BIN)/bpscript" npm test
	cd editors/vscode && npm run package

bench: setup
	$(BIN)/python -m tests.benchmarks $(ARGS)

# What takes longer than a test run may, with two processors: fuzzing guided by coverage (64 targets of FUZZ_SECONDS each: 2 hours), every
# cut point of every power cut (31,000: 32 minutes beside other work), property tests for PROPERTY_SECONDS each (280 tests: 25 minutes) and the
# slow ones (longer: nine downloads of five gigabytes, images with every byte changed, runs that are killed at many places). Each part can be
# run alone; FUZZ_SECONDS=2 shows in minutes that all targets work.
FUZZ_SECONDS ?= 120
PROPERTY_SECONDS ?= 10
soak: fuzz power-cuts properties

power-cuts: setup
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m "slow or not slow" tests/power tests/partitions/test_power_cuts.py tests/filesystems/cache/test_volume.py

properties: setup
	$(BIN)/python -m pytest -q -n 2 --dist worksteal --soak $(PROPERTY_SECONDS) -m "(hypothesis or slow) and not net and not qemu" --ignore tests/boot --ignore tests/power --deselect tests/partitions/test_power_cuts.py

fuzz: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,soak]'
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

setup: packages $(VENV)/.ready

packages:
	@tests/install_system_packages.sh

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

# The manual as a web site: build/docs/index.html.
docs: setup
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs build/docs
	@echo "build/docs/index.html"

clean:
	rm -rf $(VENV) build dist docs/generated demo bench *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
