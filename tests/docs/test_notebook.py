"""The notebook of the tutorials runs from its first cell to its last, and what it shows is kept small."""

import nbformat
import pytest
from doc_pages import ROOT
from nbclient import NotebookClient

NOTEBOOK = ROOT / 'docs/tutorials/first_steps.ipynb'


@pytest.mark.slow
def test_every_cell_runs(place):
    notebook = nbformat.read(NOTEBOOK, 4)
    for cell in notebook.cells:
        cell.pop('outputs', None)
    done = NotebookClient(
        notebook, timeout=600, kernel_name='python3', resources=dict(metadata=dict(path=str(place)))
    ).execute()
    code = [cell for cell in done.cells if cell.cell_type == 'code']
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    pictures = [output for cell in code for output in cell.outputs if 'image/png' in output.get('data', {})]
    assert len(pictures) == 2


def test_its_outputs_are_kept_and_small():
    notebook = nbformat.read(NOTEBOOK, 4)
    nbformat.validate(notebook)
    kept = [cell.outputs for cell in notebook.cells if cell.cell_type == 'code']
    assert sum(map(bool, kept)) >= 5
    assert NOTEBOOK.stat().st_size < 200_000
