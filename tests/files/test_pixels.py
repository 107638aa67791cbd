"""Bytes and numbers in [-1, 1]: one function each way, and nobody else spells it out."""

import ast
from pathlib import Path

import pytest
import torch

from ddpm_lite.files.pixels import from_bytes, from_hex, to_bytes, to_hex

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_byte_goes_there_and_back(dtype):
    every = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    x = from_bytes(every, dtype)
    assert x.dtype == dtype
    torch.testing.assert_close(x.flatten(), torch.linspace(-1, 1, 256, dtype=dtype), atol=1e-6, rtol=0)
    assert torch.equal(to_bytes(x), every)


def test_what_lies_outside_is_cut_off_and_the_rest_rounded():
    x = torch.tensor([-torch.inf, -9, -1, -1 + 0.49 / 127.5, -1 + 0.51 / 127.5, 0.999, 1, 9, torch.inf])
    assert to_bytes(x).tolist() == [0, 0, 0, 0, 1, 255, 255, 255, 255]
    assert to_bytes(torch.tensor([1.0, -1.0], dtype=torch.bfloat16)).tolist() == [255, 0]


def test_images_of_a_record_come_back_in_order():
    x = torch.tensor([[-1, 1, 0.2], [9, -9, -0.6]]).reshape(2, 1, 1, 3)
    assert to_hex(x) == "00ff99ff0033"
    torch.testing.assert_close(from_hex(to_hex(x), (1, 1, 3)), x.clamp(-1, 1))


def test_the_scale_is_written_once():
    """The tutorial that chapter 15 spoils is a stranger's program, which shares nothing with the package."""
    scaled = set()
    for path in [*ROOT.glob("ddpm_lite/**/*.py"), *ROOT.glob("studies/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
            if isinstance(node, ast.Constant) and node.value == 127.5:
                scaled.add(path.relative_to(ROOT).as_posix())
    assert scaled == {"ddpm_lite/files/pixels.py", "studies/tutorial.py"}
