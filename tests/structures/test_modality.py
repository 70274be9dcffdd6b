import ast
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import omnivl
from omnivl.errors import OmniVLValueError
from omnivl.registry import MODELS, NORMALIZERS, PACKERS, PICTURES, TRANSFORMS
from omnivl.structures import IMAGE, MODALITIES, VIDEO, VLBatch, check_modality, modality_of_path, register_modality

PACKAGE = Path(omnivl.__file__).parent
TABLE = PACKAGE / 'structures' / 'modality.py'


# What --help reads must not import the table, which needs torch; test_fast_help.py holds it against that.
COPY = PACKAGE / 'commands' / 'options.py'


def names_in(path):
    """Line and value of every string of a file that names a modality; docstrings tell and do not count."""
    tree = ast.parse(path.read_text(encoding='utf-8'))
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in told]
    return [(node.lineno, node.value) for node in constants if node.value in ('image', 'video', 'audio')]


def test_modalities_are_named_in_one_file():
    assert names_in(TABLE)
    named = {
        str(path): found for path in PACKAGE.rglob('*.py') if path not in (TABLE, COPY) and (found := names_in(path))
    }
    assert not named, f'ask the table of omnivl/structures/modality.py instead: {named}'


@pytest.mark.parametrize('modality', MODALITIES.values(), ids=MODALITIES)
def test_what_the_table_names_is_there(modality):
    assert TRANSFORMS.get(modality.loader) and MODELS.get(modality.tokenizer)
    assert all(registry.get(modality.kind) for registry in (PACKERS, NORMALIZERS, PICTURES))


def test_files_tell_their_modality():
    assert modality_of_path('a.b/photo.JPG') == 'image' and modality_of_path('clip.webm') == 'video'
    assert (
        modality_of_path('https://x.org/a.mp4?size=3#top')
        == modality_of_path('zip://a.mp4::https://x.org/b.zip')
        == 'video'
    )
    assert modality_of_path('speech.FLAC') == modality_of_path('tar://a.wav?0+9::x.tar') == 'audio'
    assert modality_of_path('notes.txt') is modality_of_path('folder.mp4/file') is None


def test_names_that_are_taken_or_unknown():
    assert register_modality(IMAGE) is IMAGE and len(MODALITIES) == 3
    depth = replace(IMAGE, name='depth', letter='d', suffixes=('.exr',))
    for other in (replace(depth, name='image'), replace(depth, letter='v'), replace(depth, suffixes=('.mp4', '.exr'))):
        with pytest.raises(
            OmniVLValueError, match=r"its name, its letter '\w' or one of its suffixes is that of '(image|video)'"
        ):
            register_modality(other)
    with pytest.raises(OmniVLValueError, match=r"Reader: modality='depth'; allowed are \('image', 'video', 'audio'\)"):
        check_modality('depth', 'Reader')


def test_a_batch_shows_one_modality():
    frames = torch.zeros(2, 1, 3, 4, 4)
    batch = VLBatch({VIDEO.name: frames})
    assert batch.modality == 'video' and batch.frames is frames and len(batch) == 2
    with pytest.raises(
        OmniVLValueError, match=r"a batch shows one modality, this one has frames of \['image', 'video'\]"
    ):
        _ = VLBatch({'image': frames, 'video': frames}).frames
