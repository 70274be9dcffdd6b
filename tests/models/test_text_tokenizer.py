import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from forked import run_program
from transformers import BertTokenizer

from omnivl.errors import OmniVLValueError
from omnivl.models.tokenizers.text import (
    SPECIAL_TOKENS,
    PretrainedTokenizer,
    WordPieceTokenizer,
    read_vocabulary,
    train_vocabulary,
)

TOOL = Path(__file__).parents[2] / 'tools' / 'train_tokenizer.py'
PIECES = ['a', 'red', 'circle', 'left', '##s', '##ed', 'un', '##like', ',', '.', '[', ']', 'sep', 'cafe']


def write_vocabulary(folder, lines):
    path = folder / 'vocab.txt'
    path.write_text(''.join(f'{line}\n' for line in lines), encoding='utf-8')
    return path


@pytest.fixture
def tokenizer(tmp_path):
    return WordPieceTokenizer(write_vocabulary(tmp_path, [*SPECIAL_TOKENS, *PIECES]))


def test_ids_are_line_numbers_and_blips_tokens_come_last(tokenizer):
    assert tokenizer.vocab_size == len(SPECIAL_TOKENS) + len(PIECES) + 2
    assert (tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id) == (0, 1, 2)
    assert tokenizer.sep_id == 3
    assert (tokenizer.decoder_id, tokenizer.encoder_id) == (tokenizer.vocab_size - 2, tokenizer.vocab_size - 1)


def test_encode_by_hand(tokenizer):
    ids = tokenizer.encode('A red circles, unliked Café xyz', max_length=30)
    assert ids.dtype == np.int64
    # 'unliked' and 'xyz' cannot be spelled: the whole word is unknown, as in BERT.
    assert ids.tolist() == [2, 5, 6, 7, 9, 13, 1, 18, 1, 3]


@pytest.mark.parametrize('lowercase', [True, False])
@pytest.mark.parametrize('text', ['A red circle', 'unlike reds, left.', 'Café  \t red', 'red[SEP]left', '', '红red!'])
def test_equals_hugging_faces_bert(tokenizer, text, lowercase):
    reference = BertTokenizer(vocab=read_vocabulary(tokenizer.vocab_file), do_lower_case=lowercase)
    ours = WordPieceTokenizer(tokenizer.vocab_file, lowercase=lowercase).encode(text, max_length=50).tolist()
    if '[SEP]' not in text:
        assert ours == reference(text)['input_ids']
    else:
        # Here we differ on purpose: a caption cannot hold a special token.
        assert ours.count(tokenizer.sep_id) == 1


@pytest.fixture(params=['tokenizer.json', 'vocab.txt'])
def folder(tokenizer, tmp_path, request):
    """What transformers 4 and 5 write of BERT's tokenizer: the fast form, or the vocabulary and its class."""
    folder = tmp_path / 'bert'
    BertTokenizer(vocab=read_vocabulary(tokenizer.vocab_file)).save_pretrained(folder)
    if request.param == 'vocab.txt':
        (folder / 'tokenizer.json').unlink()
        (folder / 'tokenizer_config.json').write_text('{"do_lower_case": true, "tokenizer_class": "BertTokenizer"}')
        tokenizer.save(folder)
    return folder


def test_a_vocabulary_that_is_no_text(tmp_path):
    (tmp_path / 'vocab.txt').write_bytes(b'[PAD]\n\xff\n')
    with pytest.raises(OmniVLValueError, match=r'vocab.txt is no BERT vocabulary, it is not UTF-8 text: '):
        read_vocabulary(tmp_path / 'vocab.txt')


def test_a_folder_of_transformers_runs_no_code_of_its_own_and_asks_nobody(folder, tmp_path, monkeypatch):
    monkeypatch.setattr('builtins.input', lambda *_: 'y')
    config = json.loads((folder / 'tokenizer_config.json').read_text())
    config |= dict(tokenizer_class='Evil', auto_map=dict(AutoTokenizer=['evil.Evil', 'evil.Evil']))
    (folder / 'tokenizer_config.json').write_text(json.dumps(config))
    (folder / 'evil.py').write_text(f"open({str(tmp_path / 'trace')!r}, 'w')\nclass Evil: pass\n")
    try:
        assert PretrainedTokenizer(folder).vocab_size
    except OmniVLValueError as error:
        assert 'transformers finds no tokenizer in' in str(error)
    assert not (tmp_path / 'trace').exists()


def test_a_folder_of_transformers_has_the_ids_of_its_vocabulary(tokenizer, folder, tmp_path):
    folders = PretrainedTokenizer(folder)
    assert folders.vocab_size == tokenizer.vocab_size
    for name in ('pad_id', 'unk_id', 'cls_id', 'sep_id', 'decoder_id', 'encoder_id'):
        assert getattr(folders, name) == getattr(tokenizer, name)
    for text in ['A red circle', 'unlike reds, left.', 'Café \t red', 'red[SEP]left [DEC]', '', 'red ' * 40]:
        ids = tokenizer.encode(text, max_length=9)
        assert folders.encode(text, max_length=9).tolist() == ids.tolist()
        assert folders.decode(ids) == tokenizer.decode(ids)
    assert folders.decode([2, 4, 6, folders.decoder_id, folders.encoder_id, 3, 7]) == 'red'
    copy = pickle.loads(pickle.dumps(folders))
    assert vars(copy) == dict(vocab_folder=str(folder))
    copy.save(tmp_path / 'saved')
    saved = PretrainedTokenizer(tmp_path / 'saved')
    assert saved.encode('A red circle', 9).tolist() == [2, 5, 6, 7, 3]
    assert saved.definition() == folders.definition()


def save_bert(folder, **options):
    vocabulary = {token: number for number, token in enumerate(options.pop('tokens', SPECIAL_TOKENS))}
    bert = BertTokenizer(vocab=vocabulary, **options)
    bert.save_pretrained(folder)
    return bert


def test_a_folder_may_hold_blips_tokens_already(tmp_path):
    """As BLIP's own code makes them."""
    bert = save_bert(tmp_path, tokens=(*SPECIAL_TOKENS, 'a'))
    bert.add_special_tokens({'bos_token': '[DEC]'})
    bert.add_special_tokens({'additional_special_tokens': ['[ENC]']})
    bert.save_pretrained(tmp_path)
    tokenizer = PretrainedTokenizer(tmp_path)
    assert (tokenizer.cls_id, tokenizer.decoder_id, tokenizer.encoder_id, tokenizer.vocab_size) == (2, 6, 7, 8)
    assert tokenizer.encode('a [ENC]', 9).tolist() == [2, 5, 1, 1, 1, 3]


def test_beginning_and_end_of_a_text_stand_for_cls_and_sep(tmp_path):
    save_bert(tmp_path, tokens=('<pad>', '<unk>', '<s>', '</s>', 'a'), pad_token='<pad>', unk_token='<unk>',
              cls_token=None, sep_token=None, mask_token=None, bos_token='<s>', eos_token='</s>')  # fmt: skip
    assert PretrainedTokenizer(tmp_path).encode('a', 9).tolist() == [2, 4, 3]


def test_folders_without_a_tokenizer_that_fits_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no folder .*none: give one that save_pretrained'):
        PretrainedTokenizer(tmp_path / 'none').encode('a', 9)
    with pytest.raises(ValueError, match=r'transformers finds no tokenizer in .*for a vocab.txt alone take WordPiece'):
        PretrainedTokenizer(tmp_path).encode('a', 9)
    save_bert(tmp_path / 'order', tokens=('[CLS]', '[SEP]', '[UNK]', '[PAD]', '[MASK]'))
    with pytest.raises(ValueError, match='pads with id 3, the text models pad with 0'):
        PretrainedTokenizer(tmp_path / 'order').encode('a', 9)
    save_bert(tmp_path / 'bare', sep_token=None)
    with pytest.raises(ValueError, match=r"has nothing that could be \['\[SEP\]'\]"):
        PretrainedTokenizer(tmp_path / 'bare').encode('a', 9)


def test_long_texts_are_cut_but_keep_both_ends(tokenizer):
    ids = tokenizer.encode('red ' * 40, max_length=7)
    assert ids.tolist() == [2, *[6] * 5, 3]
    assert tokenizer.encode('red left', max_length=2).tolist() == [2, 3]
    with pytest.raises(ValueError, match='max_length is 1'):
        tokenizer.encode('red', max_length=1)


def test_decode_undoes_encode_and_stops_at_the_first_end(tokenizer):
    ids = tokenizer.encode('a red circles, unlike left.', max_length=30)
    assert tokenizer.decode(ids) == 'a red circles, unlike left.'
    assert tokenizer.decode([tokenizer.decoder_id, 5, 6, tokenizer.sep_id, 7, 7]) == 'a red'
    # BERT's [SEP] as the first token of a generated text does not end it.
    assert tokenizer.decode([tokenizer.sep_id, 6, tokenizer.pad_id, 7]) == 'red circle'
    assert tokenizer.decode([]) == ''


def test_pickle_carries_the_path_only(tokenizer):
    before = tokenizer.encode('a red circle', max_length=9)
    copy = pickle.loads(pickle.dumps(tokenizer))
    assert vars(copy) == dict(vocab_file=tokenizer.vocab_file, lowercase=True)
    assert copy.encode('a red circle', max_length=9).tolist() == before.tolist()


def test_file_is_read_at_first_use_and_a_missing_one_says_what_to_do(tmp_path):
    tokenizer = WordPieceTokenizer(tmp_path / 'vocab.txt')
    with pytest.raises(FileNotFoundError, match='omnivl vocabulary --captions FILE'):
        tokenizer.encode('a', max_length=5)
    write_vocabulary(tmp_path, [*SPECIAL_TOKENS, 'a'])
    assert tokenizer.encode('a', max_length=5).tolist() == [2, 5, 3]


@pytest.mark.parametrize(
    ('lines', 'message'),
    [
        (['[PAD]', '[UNK]', '[CLS]', '[SEP]', 'a'], r"has no line \['\[MASK\]'\]"),
        ([*SPECIAL_TOKENS, 'a', 'b', 'a'], "has the line 'a' twice"),
        ([*SPECIAL_TOKENS, '[ENC]'], r"already holds \['\[ENC\]'\]"),
    ],
)
def test_a_wrong_vocabulary_is_refused(tmp_path, lines, message):
    with pytest.raises(ValueError, match=message):
        read_vocabulary(write_vocabulary(tmp_path, lines))


def test_a_closed_world_gets_one_piece_per_word():
    texts = ['a red circle', 'a blue square, left of a red circle']
    lines = train_vocabulary(texts, size=60)
    assert lines[:5] == list(SPECIAL_TOKENS)
    assert lines[-6:] == ['circle', 'red', 'blue', 'left', 'of', 'square']
    # Single characters stay, so that a new word can be spelled.
    assert {'a', 'r', '##e', ','} <= set(lines)
    assert lines == train_vocabulary(reversed(texts), size=60)


def test_a_larger_world_is_merged_the_same_way_every_time():
    syllables = ['ka', 'lo', 'mi', 'ter', 'sun']
    texts = [f'{a}{b}{c} {c}{a}' for a in syllables for b in syllables for c in syllables]
    runs = [train_vocabulary(texts, size=60) for _ in range(5)]
    assert all(run == runs[0] for run in runs)
    assert len(runs[0]) == len(set(runs[0])) == 60
    assert any(len(piece.removeprefix('##')) > 1 for piece in runs[0][5:])


def test_impossible_vocabularies_are_refused():
    with pytest.raises(ValueError, match='the texts are empty'):
        train_vocabulary(['', '  '], size=100)
    with pytest.raises(ValueError, match='size=6 is too small'):
        train_vocabulary(['a red circle'], size=6)


def test_the_tool_writes_a_vocabulary_that_loads(tmp_path):
    captions = tmp_path / 'captions.txt'
    captions.write_text('a red circle\na blue square\n', encoding='utf-8')
    out = tmp_path / 'made' / 'vocab.txt'
    command = [TOOL, '--captions', captions, '--out', out, '--size', '80']
    assert run_program(*command)[0] == 0
    tokenizer = WordPieceTokenizer(out)
    assert len(tokenizer.encode('a red circle', max_length=20)) == 5
    code, said = run_program(*command[:2], tmp_path / 'no.txt', *command[3:])
    assert code != 0 and 'no such file of captions' in said


def test_unknown_words_are_named_as_they_are_written(vocab_file):
    tokenizer = WordPieceTokenizer(vocab_file)
    assert tokenizer.unknown_words('w1 Colorsv, w2 zebra') == ['Colorsv', ',', 'zebra']
    assert tokenizer.unknown_words('w1 w2') == [] == tokenizer.unknown_words('')
