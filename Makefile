# Every path here is relative to the checkout, so the checkout's own path may hold spaces.
#   PYTHON=…  the Python 3.11 that .venv is made with, where `python3.11` or `python3` is not the one
#   OUT=…     where `make demo` and `make soak` write
#   MINUTES=… how long `make fuzz` goes on
#   FOUND=…   where it keeps the cases that break a bound
#   MODELS=…, SEED=…  of `make soak`

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup libraries browser demo test lint types format bench fuzz soak clean

OUT := demo
soak: OUT := soak
MINUTES := 60
FOUND := fuzz-found
MODELS := 2000
SEED := 0
python := .venv/bin/python
ready := .venv/ready

# The stamp holds the checkout's path: a copied or moved checkout is set up anew.
ifneq ($(shell cat $(ready) 2>/dev/null),$(CURDIR))
.PHONY: $(ready)
endif

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 12

setup: $(ready)  ## make .venv and install the project and its extras in it, and the system libraries where they miss

$(ready): pyproject.toml
	@sh tools/setup.sh

libraries:  ## install only the system libraries that Blender and Open3D want and this machine lacks
	@sh tools/setup.sh libraries

demo: $(ready)  ## render, pack, verify and train, small, on made-up models; writes OUT=demo
	.venv/bin/cma3d demo "$(OUT)"

test: lint types browser  ## lint, types and tests; stops at the first that fails
	$(python) -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

browser: $(ready)  ## install Chromium, which the tests of the pages look with, where there is none
	@sh tools/setup.sh browser

lint: $(ready)  ## ruff: rules and format
	$(python) -m ruff check .
	$(python) -m ruff format --check .

types: $(ready) .venv/types/shapenet3d_cma  ## mypy, strict
	MYPYPATH=.venv/types $(python) -m mypy -p shapenet3d_cma

# The top of the checkout is the package itself, so mypy needs a folder in which it has the package's name.
.venv/types/shapenet3d_cma: | $(ready)
	@mkdir -p $(@D) && ln -sfn ../.. $@

format: $(ready)  ## ruff: mend what it can and format
	$(python) -m ruff check --fix .
	$(python) -m ruff format .

bench: $(ready)  ## every script in benchmarks/
	@for script in benchmarks/[!_]*.py; do \
	    [ -e "$$script" ] || continue; \
	    echo "$(python) $$script"; $(python) "$$script" || exit; \
	done

fuzz: $(ready)  ## hostile input for MINUTES=60, on all cores; what breaks a bound is kept in FOUND=fuzz-found
	$(python) tools/fuzz.py "$(MINUTES)" "$(FOUND)"

soak: $(ready)  ## MODELS=2000 through all stages under kills, a full disk, a jumping clock; writes OUT=soak
	$(python) tools/soak.py "$(OUT)" --models "$(MODELS)" --seed "$(SEED)"

clean:  ## remove what tests, builds and `make demo` left; .venv stays (rm -rf .venv)
	rm -rf build dist demo screenshots *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	find . -name .venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
