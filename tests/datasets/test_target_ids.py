"""Target ids: which samples are positives of each other."""

import subprocess
import sys

import numpy as np
import pytest

from omnivl.datasets import caption_target_id, class_target_id, target_ids
from omnivl.datasets.target_ids import normalise_caption


@pytest.mark.parametrize(
    ('left', 'right'),
    [('A red circle.', 'a red  circle'), ('a dog, a cat!', 'a dog a cat'), ('a close-up', 'a close up'), (' x ', 'X')],
)
def test_captions_that_say_the_same_share_an_id(left, right):
    assert caption_target_id(left) == caption_target_id(right)


def test_captions_that_differ_do_not():
    captions = ['a red circle', 'a circle red', 'a red circles', 'redcircle', '...', '!', 'été', 'ete', '3 4', '34']
    assert len({caption_target_id(caption) for caption in captions}) == len(captions)


def test_classes_meet_within_a_label_space_only():
    ids = {class_target_id(space, name) for space in ('imagenet', 'k400') for name in ('golf', 'golf ball')}
    assert len(ids) == 4
    assert class_target_id('k400', 'golf') == class_target_id('k400', 'golf')
    assert class_target_id('a', 'bc') != class_target_id('ab', 'c')
    assert caption_target_id('golf') not in ids


def test_ids_fit_into_int64_and_are_never_negative():
    ids = [caption_target_id(f'caption {number}') for number in range(20000)]
    assert min(ids) >= 0 and max(ids) < 2**63
    assert len(set(ids)) == len(ids)
    assert np.asarray(ids, dtype=np.int64).tolist() == ids
    assert max(ids) > 2**62  # all 63 bits are in use


def test_ids_are_the_same_in_every_process():
    code = 'import runpy, sys; ids = runpy.run_path(sys.argv[1]); '  # without the package, whose import takes seconds
    code += 'print(ids["caption_target_id"]("a cat"), ids["class_target_id"]("k", "run"))'
    command = [sys.executable, '-c', code, target_ids.__file__]
    out = subprocess.run(command, env={'PYTHONHASHSEED': '7'}, capture_output=True, text=True, check=True).stdout
    assert out.split() == [str(caption_target_id('a cat')), str(class_target_id('k', 'run'))]


def test_normalised_caption_keeps_words():
    assert normalise_caption('  A Man\twith a "Red" hat (close-up): #1! ') == 'a man with a red hat close up 1'
    assert normalise_caption('?!') == '?!'
