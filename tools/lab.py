"""JupyterLab as `jupyter lab` starts it, with chapters that are not marked as changed when they are opened.

JupyterLab adds the kernel's language information to each notebook, including the exact version of Python, and asks
whether to save it. The stored chapters do not have it, because it differs between readers, so this program adds it when
a chapter is read.

    python tools/lab.py --notebook-dir=book [any option of jupyter lab]
"""

import sys

from ipykernel.ipkernel import IPythonKernel
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from jupyterlab.labapp import LabApp


class Chapters(AsyncLargeFileManager):
    """A contents manager that adds the kernel's language information to notebooks."""

    async def get(self, path, content=True, **options):
        model = await super().get(path, content=content, **options)
        if content and model["type"] == "notebook":
            model["content"]["metadata"]["language_info"] = dict(IPythonKernel.language_info)
        return model


if __name__ == "__main__":
    LabApp.launch_instance([*sys.argv[1:], "--ServerApp.contents_manager_class=lab.Chapters"])
