"""The metafiles that OpenMMLab's tools read: every config is in them, and what they name is there."""

import ast
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def models():
    (path,) = yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']
    content = yaml.safe_load((ROOT / path).read_text())
    assert {model['In Collection'] for model in content['Models']} == {one['Name'] for one in content['Collections']}
    return content['Models']


def test_every_config_has_one_entry_and_parses():
    listed = [model['Config'] for model in models()]
    assert sorted(listed) == sorted(str(path.relative_to(ROOT)) for path in (ROOT / 'configs/omnivl').glob('*.py'))
    for model in models():
        tree = ast.parse((ROOT / model['Config']).read_text())
        assert model['Name'] == f'omnivl_{Path(model["Config"]).stem}' and ast.get_docstring(tree)


def test_no_figure_stands_there_without_weights_and_no_weights_without_a_checksum():
    for model in models():
        weights = model['Weights']
        assert weights is not None or model['Results'] == []
        assert weights is None or {'url', 'sha256', 'size'} <= set(weights)
