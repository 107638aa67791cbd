#!/usr/bin/env bash
# Make the environment VENV from constraints.txt (or CONSTRAINTS), with PYTHON or the newest Python >= 3.11 found.
# Run by the Makefile; safe to run again, and after a run that was cut short.
set -euo pipefail

fail() {
    echo "setup: $*" >&2
    exit 1
}

new_enough() {
    command -v "$1" >/dev/null && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

venv=${VENV:-.venv}
constraints=${CONSTRAINTS:-constraints.txt}

in_venv() {
    if [ -x "$venv/bin/python" ]; then "$venv/bin/python" "$@"; else "$venv/Scripts/python.exe" "$@"; fi # Windows
}

if ! in_venv -m pip --version >/dev/null 2>&1; then
    python=${PYTHON:-}
    if [ -z "$python" ]; then
        for candidate in python3 python python3.13 python3.12 python3.11; do
            if new_enough "$candidate"; then
                python=$candidate
                break
            fi
        done
        [ -n "$python" ] || fail "no Python 3.11 or newer found; install one, or: make PYTHON=/path/to/python3"
    fi
    new_enough "$python" || fail "PYTHON=$python is not Python 3.11 or newer"
    rm -rf "$venv"
    "$python" -m venv "$venv" >/dev/null 2>&1 || {
        rm -rf "$venv"
        fail "$python cannot make a virtual environment; on Debian or Ubuntu: apt-get install python3-venv"
    }
fi
echo "setup: installing into $venv (once; PyTorch makes it the longest step)"
in_venv -m pip install -qq --disable-pip-version-check -c "$constraints" -e '.[book,test]' ||
    fail "pip could not install; its reason stands above"
# Without its dependencies: torchvision is not needed for what is compared, and has no build for every torch.
in_venv -m pip install -qq --disable-pip-version-check --no-deps -c "$constraints" torch-fidelity ||
    fail "pip could not install torch-fidelity; its reason stands above"
# The libraries that the book compares itself with (studies/rosetta.py), without what they need for other things.
in_venv -m pip install -qq --disable-pip-version-check --no-deps -c "$constraints" \
    azula denoising-diffusion-pytorch einops ema-pytorch smalldiffusion ||
    fail "pip could not install; its reason stands above"
# Colab has ipywidgets 7.7: a copy in a folder of its own, so that a test can make the widgets with it.
rm -rf "$venv/ipywidgets7"
in_venv -m pip install -qq --disable-pip-version-check --no-deps --target "$venv/ipywidgets7" \
    ipywidgets==7.7.5 ipython_genutils==0.2.0 || fail "pip could not install ipywidgets 7.7; its reason stands above"
# KaTeX, which typesets the formulas of the book, and what bundles and checks the widgets' scripts.
in_venv tools/bundle.py --install || fail "npm could not install KaTeX and the tools of package.json; its reason stands above"
