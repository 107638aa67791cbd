"""JupyterLab as `jupyter lab` starts it, with chapters that are not marked as changed when they are opened.

JupyterLab writes into each notebook what the kernel reports of its language, the exact version of Python too, and asks
whether to save that. The stored chapters leave it out, as it differs from reader to reader; here they get it when they
are read.

    python tools/lab.py --notebook-dir=book [any option of jupyter lab]
"""

import sys

from ipykernel.ipkernel import IPythonKernel
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from jupyterlab.labapp import LabApp


class Chapters(AsyncLargeFileManager):
    """Files as they are, and notebooks as the kernel would complete them."""

    async def get(self, path, content=True, **options):
        model = await super().get(path, content=content, **options)
        if content and model["type"] == "notebook":
            model["content"]["metadata"]["language_info"] = dict(IPythonKernel.language_info)
        return model


if __name__ == "__main__":
    LabApp.launch_instance([*sys.argv[1:], "--ServerApp.contents_manager_class=lab.Chapters"])
