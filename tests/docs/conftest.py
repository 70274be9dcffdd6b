"""The folder that code of the pages runs in, made once and copied for each page."""

import os
import shutil

import pytest
from doc_pages import ROOT
from toy_place import flatten_plans, leave_out_graphs, make_place, shorten_trainings

from omnivl.places import DATA_VARIABLE


@pytest.fixture(scope='session')
def made_place(tmp_path_factory):
    root = tmp_path_factory.mktemp('place')
    with pytest.MonkeyPatch.context() as patch:
        leave_alone(patch)
        patch.chdir(root)
        return make_place(root)


def leave_alone(patch):
    """Make trainings, plans and exports short, and forget what the shell around says of data."""
    shorten_trainings(patch)
    flatten_plans(patch)
    leave_out_graphs(patch)
    for variable in (DATA_VARIABLE, 'OMNIVL_DEMO_DATA', 'OMNIVL_DEMO_WORK_DIR'):
        patch.delenv(variable, raising=False)


@pytest.fixture
def place(made_place, tmp_path, monkeypatch):
    """A copy of the folder, which is the current one."""
    root = tmp_path / 'place'
    shutil.copytree(made_place, root, symlinks=True)
    leave_alone(monkeypatch)
    monkeypatch.chdir(root)
    monkeypatch.setenv('PATH', f'{root / "bin"}:{os.environ["PATH"]}')
    monkeypatch.setenv('PYTHONPATH', str(ROOT))
    monkeypatch.setenv('PWD', str(root))
    return root
