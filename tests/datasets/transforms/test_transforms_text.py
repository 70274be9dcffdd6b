import numpy as np
import pytest
from transform_toys import LetterTokenizer

from omnivl.datasets.collate import collate_samples
from omnivl.datasets.errors import BrokenVisualError
from omnivl.datasets.transforms import CleanCaption, PackSample, TokenizeText, clean_caption
from omnivl.models.tokenizers import WordPieceTokenizer
from omnivl.registry import TRANSFORMS


@pytest.mark.parametrize(
    ('caption', 'expected'),
    [
        ('A red Circle.', 'a red circle'),
        ('  two   dogs\n\nrun\t', 'two dogs run'),
        ('"Hello!" (he said): a*b #tag; ~50', 'hello he said a b tag 50'),
        ("it's a cat, isn't it? a/b-c", "it's a cat, isn't it? a/b-c"),
        ('Élan vital', 'élan vital'),
        ('...', ''),
    ],
)
def test_caption_rule(caption, expected):
    assert clean_caption(caption) == expected
    assert clean_caption(expected) == expected


def test_captions_are_cut_to_words():
    assert clean_caption('One two. Three four', 3) == 'one two three'
    assert clean_caption('one two', 30) == 'one two'
    results = CleanCaption(max_words=2)({'text': 'A b c', 'captions': ['D. e f', 'G']})
    assert results == {'text': 'a b', 'captions': ['d e', 'g']}
    assert CleanCaption(None)({'text': 'A ' * 50})['text'].count('a') == 50


def test_a_caption_of_marks_alone_is_broken():
    with pytest.raises(BrokenVisualError, match=r"a\.jpg: its caption '\.\.!' is empty after cleaning"):
        CleanCaption()({'text': '..!', 'visual': 'a.jpg'})
    with pytest.raises(BrokenVisualError, match='is empty after cleaning'):
        CleanCaption()({'text': 'fine', 'captions': ['fine', ' '], 'sample_id': '3'})


def test_ids_of_text_and_captions():
    tokenize = TokenizeText(LetterTokenizer(), max_length=4)
    results = tokenize({'text': 'abc', 'captions': ['a', 'bcd']})
    assert results['text_ids'].tolist() == [101, 97, 98, 102]
    assert [ids.tolist() for ids in results['caption_ids']] == [[101, 97, 102], [101, 98, 99, 102]]
    assert 'caption_ids' not in tokenize({'text': 'a'})
    assert 'text_ids' not in tokenize({'captions': ['a']})


def test_tokenizer_from_a_config(tmp_path):
    vocabulary = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a', 'red', 'circle']
    (tmp_path / 'vocab.txt').write_text('\n'.join(vocabulary) + '\n')
    config = {'type': 'WordPieceTokenizer', 'vocab_file': str(tmp_path / 'vocab.txt')}
    tokenize = TRANSFORMS.build({'type': 'TokenizeText', 'tokenizer': config, 'max_length': 20})
    assert tokenize({'text': 'a red circle'})['text_ids'].tolist() == [2, 5, 6, 7, 3]


@pytest.mark.parametrize('transform', [CleanCaption(), TokenizeText(LetterTokenizer(), 8)])
def test_text_is_needed(transform):
    with pytest.raises(KeyError, match=f"{type(transform).__name__} needs 'text', which the dataset provides"):
        transform({'visual': 'a.jpg'})
    assert type(transform).__name__ in repr(transform)


@pytest.mark.parametrize(
    ('build', 'message'),
    [
        (lambda: CleanCaption(0), 'max_words must be a positive int or None, got 0'),
        (lambda: TokenizeText(LetterTokenizer(), 2), 'max_length must be an int of at least 3'),
        (lambda: TokenizeText(max_length=9), 'has no tokenizer: state it once, in model.trunk.tokenizer'),
    ],
)
def test_arguments(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_unknown_words_go_with_the_sample_into_the_batch(vocab_file):
    tokenize = TokenizeText(WordPieceTokenizer(vocab_file), 9)

    def item(source, **texts):
        results = dict(texts, sample_id='0', source=source, visual='a.png', modality='image')
        results['frames'] = np.zeros((1, 4, 4, 3), np.uint8)
        return PackSample()(tokenize(results))

    assert 'unknown_words' not in collate_samples([item('a', text='w1 w2')])
    assert 'unknown_words' not in item('a', text='w1 w2')['data_samples']
    samples = [item('a', text='w1 zebra w2 gnu'), item('b', text='w1 w2 w3'), item('a', text='w4')]
    assert collate_samples(samples)['unknown_words'] == dict(share=25.0, words=dict(a=['zebra', 'gnu']))
    assert item('c', captions=['w1 zebra', 'w2'])['data_samples'].unknown_words == ['zebra']
    assert item('c', question='why?')['data_samples'].unknown_words == ['why', '?']
