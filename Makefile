# The whole set-up, from nothing:
#   make lab     creates .venv when it is missing, installs, opens JupyterLab on the first notebook
#   make test    the same, then every test and every notebook
#   make seconds the notebooks one by one; fails where one's computing has drifted from the seconds it states
#   make bench   timings per 80 ms frame, beside the official package
#   make html    the course as web pages in build/html, sounds included
#   make slides  the course as slides in build/slides
#   make clean   removes .venv and caches; what you trained in runs/ stays
#
# Knobs: PYTHON=python3.12   LAB_ARGS=--no-browser   TEST_ARGS="-k codec"   BENCH_ARGS=...   REVEAL=reveal.js
#        PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"   (Linux: the small, CPU-only torch)

PYTHON ?= python3
VENV := .venv
PIP_ARGS ?=
LAB_ARGS ?=
TEST_ARGS ?=
BENCH_ARGS ?=
PIP = $(VENV)/bin/python -m pip install --quiet $(PIP_ARGS)
SETUP = pyproject.toml constraints.txt

.PHONY: lab test seconds bench html slides clean

# Jupyter refuses to run as root (in a container, say) unless told that this is meant.
lab: $(VENV)/.stamp
	$(VENV)/bin/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) $(LAB_ARGS) notebooks/00_start_here.ipynb

test: $(VENV)/.stamp-test
	$(VENV)/bin/ruff check .
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest --nbval --nbval-current-env -n 2 --dist loadscope $(TEST_ARGS)

seconds: $(VENV)/.stamp-test
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest --nbval --nbval-current-env --fail-drifted notebooks $(TEST_ARGS)

bench: $(VENV)/.stamp-test
	$(VENV)/bin/python -m minimoshi bench $(BENCH_ARGS)

html slides: $(VENV)/.stamp
	$(VENV)/bin/python -m minimoshi.lab.publish $@ build/$@ $(if $(REVEAL),--reveal $(REVEAL))

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis build *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +

# A half-made .venv would be taken for a whole one next time, so it goes.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "minimoshi needs Python 3.10 or newer; name one with: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "Could not create .venv (on Debian and Ubuntu: apt install python3-venv)"; exit 1; }

$(VENV)/.stamp: $(SETUP) | $(VENV)/bin/python
	@echo "Installing into $(VENV) (a few minutes the first time) ..."
	$(PIP) -c constraints.txt -e ".[serve]"
	@touch $@

$(VENV)/.stamp-test: $(SETUP) tests/parity/requirements.txt | $(VENV)/bin/python
	@echo "Installing into $(VENV) (a few minutes the first time) ..."
	$(PIP) -c constraints.txt -e ".[test,parity,serve]"
	$(PIP) --no-deps -r tests/parity/requirements.txt
	@touch $(VENV)/.stamp $@
