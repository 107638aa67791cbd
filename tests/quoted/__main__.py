"""Name the numbers of the prose that no value of their chapter gives, while a chapter is being written.

python -m quoted [FILE.ipynb ...]     with tests and tools on PYTHONPATH; without a file, the whole book
"""

import sys
from pathlib import Path

from . import compare, read

wanted = {Path(name).stem for name in sys.argv[1:]}
for name, cells in read.chapters():
    if wanted and name not in wanted:
        continue
    found = compare.compare(cells, name)
    print(f"{name}: {len(found)} numbers, {sum(source is None for _, source in found)} that no value here gives")
    for number, source in found:
        if source is None:
            print(f"  cell {number.cell}: {number.written} | {number.sentence[:110]}")
