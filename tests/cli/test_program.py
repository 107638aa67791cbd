"""The command line as a program: under which name it was called, and how a shell completes its words."""

import subprocess
import sys

import pytest

from ddpm_lite.cli import options
from ddpm_lite.cli.commands import main


@pytest.mark.parametrize(
    ("argv_0", "name"),
    [
        ("/home/me/env/bin/ddpm-lite", "ddpm-lite"),
        ("ddpm-lite.exe", "ddpm-lite"),
        ("/home/me/ddpm_lite/__main__.py", "python -m ddpm_lite"),
    ],
)
def test_help_shows_the_program_as_it_was_called(argv_0, name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [argv_0])
    with pytest.raises(SystemExit) as end:
        main(["verify", "--help"])
    assert not end.value.code
    assert capsys.readouterr().out.startswith(f"usage: {name} verify [-h] FOLDER\n")


@pytest.mark.posix
@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("ddpm-lite sa", {"sample"}),
        ("ddpm-lite ", {"train", "sample", "evaluate", "export-page", "examine", "doctor", "verify", "-h", "--help"}),
        ("ddpm-lite train di", {"digits"}),
        ("ddpm-lite sample digits --samp", {"--sampler"}),
        ("ddpm-lite sample digits --sampler ddp", {"ddpm"}),
    ],
)
def test_bash_completes_what_there_is(words, completed, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", [options.SCRIPT])
    with pytest.raises(SystemExit) as end:
        main(["--tyro-print-completion", "bash"])
    assert not end.value.code
    # What bash does at a press of Tab: it sets the words, calls the registered function, and reads COMPREPLY.
    given = [f"{word!r}" for word in words.split(" ")]
    press = [
        f"COMP_WORDS=({' '.join(given)}); COMP_CWORD={len(given) - 1}",
        'function=$(complete -p ddpm-lite); function=${function#*-F }; "${function%% *}"',
        'printf "%s\\n" "${COMPREPLY[@]}"',
    ]
    script = tmp_path / "completion.bash"
    script.write_text("\n".join([capsys.readouterr().out, *press]), encoding="utf8")
    done = subprocess.run(["bash", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == completed
