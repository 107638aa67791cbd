"""Let nbval run the chapters as Jupyter does: with a history.

IPython looks for the semicolon that hides a cell's value in the history of inputs, and nbval keeps
none: `plots.curves(...);` would show its value there and nowhere else.
"""

from nbval.kernel import RunningKernel


def execute_with_history(self, cell_input, allow_stdin=None):
    return self.kc.execute(cell_input, allow_stdin=allow_stdin, stop_on_error=False)


RunningKernel.execute_cell_input = execute_with_history
