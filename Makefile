# make book    build the pages            make lab        open the chapters in JupyterLab
# make test    everything CI runs         make notebooks  run and normalise every chapter
# make quick   style and science, 90 s    make lint       style of Python, scripts, text
# make unit    all tests without browser  make chapters   the chapters against their stored outputs
# make html    the pages in a browser     make fulldata   tests that want a whole data set (67 MB)
# make bench   speed of the libraries     make on-gpu     what needs a GPU, in 25 minutes
# make pdf     the book as one PDF        make epub       the book as an EPUB
# make alone   each chapter from the wheel, in an empty folder (25 minutes)
# make clean   remove what was built      make distclean  and the environment
#
# Every target sets up .venv by itself, once. PYTHON=... chooses the interpreter that makes it.

PYTHON ?=
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BUILT := _build/.built

# The sources of the pages.
SOURCES := _config.yml _toc.yml $(wildcard book/*.ipynb book/*.md book/*.rst book/*.bib book/checks/*.md tests/equations/*.py tests/equations/answers.json) tests/quoted/by_hand.json \
	$(wildcard ddpm_lite/viz/bundles/page/*.js ddpm_lite/viz/bundles/page/live/*.js) ddpm_lite/viz/js/widgets.css \
	$(wildcard ddpm_lite/*.py ddpm_lite/*/*.py) ddpm_lite/pretrained/SHA256SUMS \
	$(shell find book/_ext book/images book/results -type f -not -name '*.pyc' 2>/dev/null) \
	book/results # the folder is newer when a record is gone

# As many processes as the machine has cores, with one thread each, because two threads of one process wait for each other
# whenever the machine does something else. One process runs a whole file, so that its fixtures are made once.
PYTEST := $(BIN)/python -m pytest -q --numprocesses logical --dist loadfile
test unit chapters html fulldata alone quick science notebooks: export OMP_NUM_THREADS := 1
test unit chapters html fulldata alone quick science notebooks: export OMP_WAIT_POLICY := PASSIVE

# What `make quick` runs: the science, the wing-less part of the package.
SCIENCE := $(addprefix tests/test_,schedule.py process.py conversions.py bound.py oracle.py unet.py condition.py \
	sampler.py trainer.py layering.py)

# Sets keep their order from run to run.
export PYTHONHASHSEED := 0

.PHONY: book pdf epub test quick science unit chapters html fulldata alone lab notebooks lint constraints bench on-gpu clean distclean
.DELETE_ON_ERROR:

book: $(BUILT)
	@echo "The book: _build/html/index.html"

$(READY): pyproject.toml constraints.txt tools/setup.sh
	@PYTHON="$(PYTHON)" VENV="$(VENV)" bash tools/setup.sh
	@touch $@

# Into an empty folder, because Jupyter Book leaves the pages of chapters that no longer exist.
$(BUILT): $(READY) $(SOURCES)
	@echo "building the pages (one to five minutes)"
	@rm -rf _build
	@$(BIN)/jupyter-book build -q -W --keep-going . >$(VENV)/book.log 2>&1 \
		|| { cat $(VENV)/book.log; \
		echo "make: the book was not built: the warnings above are errors here" >&2; exit 1; }
	@touch $@

# Other forms of the built pages: _build/ddpm-lite.pdf and _build/ddpm-lite.epub. The pages then link to them.
pdf: $(READY) $(BUILT)
	@$(BIN)/python tools/chromium.py >/dev/null
	@$(BIN)/python tools/pdf.py

epub: $(READY) $(BUILT)
	@$(BIN)/python tools/epub.py

# A failing part does not hide the results of later ones.
test: $(READY)
	@$(MAKE) --no-print-directory --keep-going lint unit chapters html
	@echo "make test: lint, unit tests, chapters and pages are all right"

# The checkers run beside the tests: one process of theirs, and as many as cores of the tests, fill a quiet machine better.
quick: $(READY)
	@$(MAKE) --no-print-directory --keep-going --jobs=2 lint science

science: $(READY)
	@$(PYTEST) $(SCIENCE)

lint: $(READY)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . \
		|| { echo "make: ruff found something: \`ruff check --fix . && ruff format .\`" >&2; exit 1; }
	@$(BIN)/python tools/bundle.py --check
	@$(BIN)/python tools/prose.py
	@$(BIN)/mypy

unit: $(READY)
	@$(PYTEST) tests

chapters: $(READY)
	@$(PYTEST) --nbval --nbval-current-env --nbval-cell-timeout=1800 --nbval-kernel-startup-timeout=600 \
		--nbval-sanitize-with tests/nbval.cfg $$($(BIN)/python tools/notebooks.py --list)

html: $(READY) $(BUILT)
	@$(BIN)/python tools/chromium.py >/dev/null
	@$(PYTEST) -m html tests

fulldata: $(READY)
	@$(PYTEST) -m fulldata tests

# Before a release: every chapter in an empty folder, with what the wheel installs.
alone: $(READY)
	@$(PYTEST) -m alone tests

# The other libraries go into their own folder and not into the environment.
PEERS := $(VENV)/peers
bench: $(READY)
	@$(BIN)/python -m pip install -q --no-deps --upgrade --target $(PEERS) -r benchmarks/requirements.txt
	@PYTHONPATH=$(PEERS) $(BIN)/python benchmarks/bench.py $(BENCH)

# On a machine with a GPU. GPU_PYTHON=python3 uses an interpreter that already has torch and the rest; without a network,
# copy the folder of the other libraries too, and name that of the data set: ON_GPU="--data FOLDER".
GPU_PYTHON ?= $(BIN)/python
on-gpu: $(if $(filter $(BIN)/python,$(GPU_PYTHON)),$(READY))
	@test -d $(PEERS)/smalldiffusion || \
		$(GPU_PYTHON) -m pip install -q --no-deps --target $(PEERS) -r benchmarks/requirements.txt
	@PYTHONPATH=.:$(PEERS):$$PYTHONPATH $(GPU_PYTHON) tools/on_gpu.py $(ON_GPU)

lab: $(READY)
	@$(BIN)/python tools/lab.py --notebook-dir=book

notebooks: $(READY)
	@$(BIN)/python tools/notebooks.py

# After a change of versions in .venv: pin the installed versions, without the build tag of this machine's torch.
constraints: $(READY)
	@$(BIN)/python -m pip list --format=freeze --exclude-editable --exclude pip \
		| sed 's/+.*//' > $(VENV)/pins
	@{ grep '^#' constraints.txt; cat $(VENV)/pins; } > $(VENV)/constraints.txt
	@mv $(VENV)/constraints.txt constraints.txt

clean:
	@rm -rf _build .pytest_cache .ruff_cache dist
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean
	@rm -rf $(VENV) node_modules
