"""omnivl doctor: what is there, what is not, and the exit code that follows."""

import errno
import importlib.util
import json
import sys

import pytest

from omnivl.commands import doctor
from omnivl.commands.main import main
from omnivl.places import DATA_VARIABLE


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path):
    monkeypatch.setenv(DATA_VARIABLE, '')
    monkeypatch.chdir(tmp_path)


def findings(capsys, *words):
    """Run the command; returns its exit code, and name -> (value, state) of what it found."""
    code = 0
    try:
        main(['doctor', '--json', *words])
    except SystemExit as ended:
        code = ended.code
    content = json.loads(capsys.readouterr().out)
    assert content['ok'] == (code == 0)
    return code, {row['name']: (row['value'], row['state']) for row in content['findings']}


def test_a_whole_installation_has_nothing_missing(capsys):
    code, found = findings(capsys)
    assert code == 0
    assert found['torch'][1] == found['pyav'][1] == found['configs'][1] == 'ok'
    assert {'python', 'CPU', 'locks', 'Java', 'work directory', 'temporary', 'data root'} <= found.keys()
    main(['doctor'])
    text = capsys.readouterr().out
    assert 'video decoders\n   pyav' in text and text.endswith('all that is needed is there\n')


def test_a_library_that_is_missing_or_broken_is_told_with_its_reason(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'av', None)
    code, found = findings(capsys)
    assert code == 1 and found['pyav'][1] == 'missing' and found['pyav'][0].endswith('pip install av')
    original = doctor.load
    broken = dict(decord='cannot be loaded: libdecord.so', mmcv='cannot be loaded: libGL.so.1')
    monkeypatch.setattr(doctor, 'load', lambda name: broken.get(name) or original(name))
    code, found = findings(capsys)
    assert found['decord'] == ('cannot be loaded: libdecord.so', 'note')
    assert found['mmcv'][0].startswith("cannot be loaded: libGL.so.1; pip install 'mmcv-lite")
    with pytest.raises(SystemExit):
        main(['doctor'])
    text = capsys.readouterr().out
    assert ' ! mmcv ' in text and ' - decord ' in text and 'needed and missing: mmcv, pyav\n' in text


def test_why_a_module_does_not_load(monkeypatch, tmp_path):
    (tmp_path / 'half_there.py').write_text('import not_there_at_all')
    (tmp_path / 'falls_over.py').write_text("raise OSError('libGL.so.1:\\n no such file')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert doctor.load('not_there_at_all') == 'not installed'
    assert doctor.load('half_there') == "cannot be loaded: No module named 'not_there_at_all'"
    assert doctor.load('falls_over') == 'cannot be loaded: libGL.so.1: no such file'


def test_an_old_version_is_told(monkeypatch, capsys):
    monkeypatch.setattr(doctor, 'requirements', lambda extra='': {'numpy': '>=99'} if not extra else {})
    code, found = findings(capsys)
    assert code == 1 and found['numpy'][0].endswith("but >=99 is needed; pip install 'numpy>=99'")


def test_extras_that_are_missing_say_how_to_install_them(monkeypatch):
    monkeypatch.setattr(doctor, 'requirements', lambda extra='': {'not_there_at_all': ''} if extra == 'demo' else {})
    states = {one.name: (one.value, one.state) for one in doctor.extras()}
    if 'unknown' not in states:  # a checkout that was never installed
        assert states['demo'] == ("not_there_at_all not installed: pip install 'omnivl[demo]'", 'note')
        assert states['test'] == ('installed', 'ok')


def test_a_data_root_that_is_not_there_is_missing(capsys):
    code, found = findings(capsys, '--data-root', '/nowhere')
    assert (
        code == 1
        and found['data root'][1] == 'missing'
        and 'the data root /nowhere is no folder' in found['data root'][0]
    )


def test_locks_that_do_not_work_are_noted(monkeypatch, tmp_path):
    import fcntl

    def refuse(*_):
        raise OSError(errno.ENOLCK, 'No locks available')

    monkeypatch.setattr(fcntl, 'lockf', refuse)
    found = doctor.locks(tmp_path)
    assert found.state == 'note' and 'No locks available' in found.value


def test_little_disk_and_no_java_are_noted(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(doctor, 'DISK_GB', 1e9)
    monkeypatch.setattr(doctor.shutil, 'which', lambda name: None)
    code, found = findings(capsys)
    assert code == 0 and found['temporary'][1] == found['Java'][1] == 'note'
    assert ', that is little: ' in found['temporary'][0]


def test_it_says_something_without_torch(monkeypatch, capsys):
    original = doctor.load
    monkeypatch.setattr(doctor, 'load', lambda name: 'not installed' if name == 'torch' else original(name))
    code, found = findings(capsys)
    assert code == 1 and found['torch'][1] == 'missing' and found['CPU'][0].endswith(' cores')
    assert importlib.util.find_spec('torch') is not None
