"""The stop button of a notebook, in a real kernel: the run ends with a checkpoint, and the next cell goes on."""

import re
import time

import pytest
from jupyter_client.manager import start_new_kernel

SETUP = """
import torch
from ddpm_lite import TrainConfig, fit, linear_schedule


class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = torch.nn.Linear(2, 2)

    def forward(self, x_t, t, context=None):
        return self.linear(x_t)


def run(folder, steps):
    images = torch.rand(12, 1, 2, 2, generator=torch.Generator().manual_seed(1)) * 2 - 1
    config = TrainConfig(steps=steps, batch_size=4, lr=1e-2)
    return fit(Tiny(), linear_schedule(20, 0.005, 0.5), images, config, folder, every=10**6, log=1, progress=False)
"""


@pytest.fixture
def kernel(tmp_path):
    manager, client = start_new_kernel(startup_timeout=600, kernel_name="python3", cwd=str(tmp_path))
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    manager.cleanup_resources()
    client.context.destroy()


def reply(client, code):
    return client.execute_interactive(code, timeout=600, output_hook=lambda message: None)["content"]


@pytest.mark.slow
def test_the_stop_button_leaves_a_checkpoint_and_a_kernel_that_goes_on(kernel, tmp_path):
    manager, client = kernel
    assert reply(client, SETUP)["status"] == "ok"
    asked = client.execute("run('stopped', 10**6)", stop_on_error=False)
    metrics, deadline = tmp_path / "stopped" / "metrics.jsonl", time.monotonic() + 600
    while not (metrics.exists() and metrics.read_bytes().count(b"\n") >= 5):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    manager.interrupt_kernel()  # what the button does
    stopped = client.get_shell_msg(timeout=600)
    assert stopped["parent_header"]["msg_id"] == asked
    assert (stopped["content"]["status"], stopped["content"]["ename"]) == ("error", "KeyboardInterrupt")
    words = re.fullmatch(r"stopped after step (\d+); (step-\d+) is written, and .*", stopped["content"]["evalue"])
    step, written = int(words[1]), tmp_path / "stopped" / f"{words[2]}.safetensors"
    assert written.stem == f"step-{step:06d}"
    assert metrics.read_bytes().count(b"\n") == step  # the step that was being done, and none after it
    # in the same kernel the next cell goes on, to the end of a run that was never stopped
    more = f"again, whole = run('stopped', {step + 3}), run('whole', {step + 3})\n"
    more += "assert again.loss == whole.loss\n"
    more += "assert torch.equal(again.ema_model.linear.weight, whole.ema_model.linear.weight)"
    assert reply(client, more)["status"] == "ok"
    assert sorted(path.name for path in (tmp_path / "stopped").glob("step-*")) == [
        written.name,
        f"step-{step + 3:06d}.safetensors",
    ]
