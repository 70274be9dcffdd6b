from pathlib import Path
from omnivl.commands.main import main
import shutil

def test_it(world, tmp_path, monkeypatch):
    for f in ('onnx','torch_export'):
        main(['export', str(world.config), str(world.checkpoint), '--format', f, '--out', f'/tmp/graph/{f}'])
