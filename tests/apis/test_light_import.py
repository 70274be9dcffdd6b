import subprocess
import sys

import pytest

HEAVY = ('torch', 'transformers', 'timm', 'cv2', 'decord', 'av', 'matplotlib', 'mmcv', 'fsspec', 'huggingface_hub')


def test_importing_the_package_imports_nothing_heavy():
    code = f'import sys, omnivl; print([name for name in {HEAVY!r} if name in sys.modules])'
    found = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == '[]'


@pytest.mark.parametrize('words', [['--help'], ['--version'], ['configs']])
def test_looking_around_imports_nothing_heavy(words):
    code = f'import sys; from omnivl.commands.main import main; main({words!r}); '
    code += f'print([name for name in ("mmengine", *{HEAVY!r}) if name in sys.modules])'
    found = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == '[]'
