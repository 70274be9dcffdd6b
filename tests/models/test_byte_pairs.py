"""CLIP's byte pairs from local files: as transformers has them, and as our texts need them."""

import json
import pickle

import numpy as np
import pytest
from tokenizers.pre_tokenizers import ByteLevel

from omnivl.errors import OmniVLError
from omnivl.models.tokenizers import BytePairTokenizer
from omnivl.registry import TOKENIZERS

MERGES = [('r', 'e'), ('re', 'd</w>'), ('c', 'a'), ('ca', 't</w>'), ('!', '!</w>')]
TEXTS = ['A red cat', "a cat's RED  toy!", 'naïve café ☕ 42', '', 'wow!! ok !?']


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('clip')
    pieces = sorted(ByteLevel.alphabet())
    pieces += [f'{piece}</w>' for piece in pieces] + [''.join(pair) for pair in MERGES]
    pieces += ['<|startoftext|>', '<|endoftext|>']
    (folder / 'vocab.json').write_text(json.dumps({piece: index for index, piece in enumerate(pieces)}))
    (folder / 'merges.txt').write_text('\n'.join(['#version: 0.2', *map(' '.join, MERGES)]) + '\n')
    return folder


def test_ids_are_those_of_transformers(folder):
    from transformers import CLIPTokenizer

    theirs = CLIPTokenizer.from_pretrained(folder)
    ours = TOKENIZERS.build(dict(type='BytePairTokenizer', vocab_folder=folder))
    for text in TEXTS:
        assert ours.encode(text, 77).tolist() == theirs(text)['input_ids']
        assert ours.decode(ours.encode(text, 77)) == theirs.decode(theirs(text)['input_ids'], skip_special_tokens=True)
    assert ours.encode('a red cat', 4).tolist() == [ours.cls_id, *theirs('a red')['input_ids'][1:3], ours.sep_id]
    assert ours.vocab_size == len(theirs) and ours.cls_id == ours.decoder_id and ours.sep_id == ours.vocab_size - 1


def test_a_text_cannot_end_itself_and_no_byte_is_unknown(folder):
    ours = BytePairTokenizer(folder)
    ids = ours.encode('a <|endoftext|> cat', 77)
    assert (ids == ours.sep_id).sum() == 1 and ids[-1] == ours.sep_id
    assert ours.decode(ids).replace(' ', '') == 'a<|endoftext|>cat'
    assert ours.pad_id == 0 and (ours.encode('ꙮ', 9) != ours.unk_id).all()


def test_a_first_id_inside_of_a_text_is_kept(folder):
    ours = BytePairTokenizer(folder)
    ids = ours.encode('!?', 9)
    assert 0 in ids and ours.decode(ids) == '!?'
    assert ours.decode(np.concatenate([ids, [0, 0]])) == '!?'


def test_it_is_saved_and_sent_to_workers_without_what_it_read(folder, tmp_path):
    ours = BytePairTokenizer(folder)
    ids = ours.encode(TEXTS[0], 9)
    ours.save(tmp_path)
    copy = pickle.loads(pickle.dumps(ours))
    assert 'vocabulary' not in vars(copy) and (copy.encode(TEXTS[0], 9) == ids).all()
    again = BytePairTokenizer(tmp_path)
    assert (again.encode(TEXTS[0], 9) == ids).all() and again.definition() == ours.definition()


def test_files_that_are_missing_or_of_another_tokenizer_get_their_message(folder, tmp_path):
    with pytest.raises(OmniVLError, match=r'no vocab.json and merges.txt in .*: get them with "for f in'):
        BytePairTokenizer(tmp_path).encode('a', 9)
    (tmp_path / 'vocab.json').write_text('{"a": 0, "a</w>": 1}')
    with pytest.raises(OmniVLError, match=r'no merges.txt in'):
        BytePairTokenizer(tmp_path).encode('a', 9)
    (tmp_path / 'merges.txt').write_text('#version: 0.2\n')
    with pytest.raises(OmniVLError, match=r"is no vocabulary of CLIP: it has no \['<\|startoftext\|>'"):
        BytePairTokenizer(tmp_path).encode('a', 9)
