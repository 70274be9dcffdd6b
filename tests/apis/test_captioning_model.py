"""The inferencer with a model for captions: its prompt comes along, also out of an exported folder."""

import pytest
from api_world import write_checkpoint, write_config

from omnivl.apis import OmniVLInferencer, export_folder
from omnivl.engine import read_config


@pytest.fixture
def files(tiny_config, world, tmp_path):
    model = tiny_config('OmniVLCaption', prompt='w3 w7')
    return write_config(world.root, model), write_checkpoint(tmp_path / 'caption.pth', model)


def test_captions_begin_behind_the_models_prompt(files, world):
    inferencer = OmniVLInferencer(*files, device='cpu')
    written = [inferencer.caption(path) for path in (*world.images[:2], world.videos[0])]
    given = [inferencer.caption(path, prompt='w3 w7') for path in (*world.images[:2], world.videos[0])]
    assert [row['caption'] for row in written] == [row['caption'] for row in given]
    none = [inferencer.caption(path, prompt='') for path in (*world.images[:2], world.videos[0])]
    assert [row['score'] for row in written] != [row['score'] for row in none]


def test_export_keeps_the_prompt(files, world, tmp_path):
    config, checkpoint = files
    export_folder(read_config(config), checkpoint, tmp_path / 'exported')
    exported = OmniVLInferencer(tmp_path / 'exported', device='cpu')
    assert exported.model.prompt == 'w3 w7'
    assert exported.caption(world.images[0]) == OmniVLInferencer(*files, device='cpu').caption(world.images[0])
