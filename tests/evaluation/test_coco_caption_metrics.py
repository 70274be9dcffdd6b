"""Caption metrics against pycocoevalcap's own classes and by hand, and what is said where they cannot be computed."""

import shutil
import sys

import pytest

from omnivl.evaluation import coco_caption_metrics
from omnivl.evaluation.coco_caption_metrics import OFFICIAL, SIMPLE, coco_metrics, other_captions, ptb_tokenize

pytest.importorskip('pycocoevalcap', reason="pycocoevalcap is not installed: pip install 'omnivl[test]'")
JAVA = shutil.which('java')
needs_java = pytest.mark.skipif(JAVA is None, reason='needs Java, and there is no java on the PATH')

REFERENCES = [
    ["A man's dog, red-ish (from the U.S.), can't run.", 'The dog runs over a green field.', 'A dog.'],
    ['Two people ride a horse -- slowly -- along the beach!', 'People on a horse at the beach'],
    ['Café tables: “set” for 3/4 of the guests…', 'Some tables are set in front of a café.'],
    ['a small blue square is below a big red circle', 'A big red circle above a small blue square.'],
]
CAPTIONS = [
    "the man's dog runs over a field",
    'two people riding a horse on the beach',
    '',
    'a big red circle above a small blue square',
]


def official_classes():
    """What COCOEvalCap computes, class by class."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    split = PTBTokenizer().tokenize
    truth = split({number: [{'caption': text} for text in texts] for number, texts in enumerate(REFERENCES)})
    said = split({number: [{'caption': text}] for number, text in enumerate(CAPTIONS)})
    bleu = Bleu(4).compute_score(truth, said, verbose=0)[0]
    found = {f'bleu{n}': score for n, score in enumerate(bleu, 1)}
    for row, scorer in (('rouge_l', Rouge()), ('cider', Cider()), ('meteor', Meteor())):
        found[row] = scorer.compute_score(truth, said)[0]
    return {row: 100 * score for row, score in found.items()}


@pytest.fixture
def with_java(monkeypatch, tmp_path):
    """Puts a script in the place of java; ``$JAVA`` in it is the real one."""

    def put(script):
        java = tmp_path / 'java'
        java.write_text(f'#!/bin/sh\nJAVA={JAVA}\n{script}\n')
        java.chmod(0o755)
        monkeypatch.setenv('PATH', str(tmp_path), prepend=':')

    return put


@pytest.fixture
def without_java(monkeypatch, tmp_path):
    monkeypatch.setenv('PATH', str(tmp_path))


@pytest.mark.slow
@needs_java
def test_official_rows_are_those_of_the_official_code(monkeypatch):
    """And where nothing was said they are 0. METEOR takes a quarter of a minute to start, so all are asked of one."""
    from pycocoevalcap.meteor import meteor

    started = meteor.Meteor()
    monkeypatch.setattr(meteor, 'Meteor', lambda: started)
    metrics = coco_metrics({'beam': CAPTIONS, 'silent': [''] * 4}, REFERENCES)
    expected = official_classes()
    assert {row: metrics.rows['beam'][row] for row in expected} == pytest.approx(expected)
    assert set(metrics.rows['beam']) == set(metrics.rows['silent']) == {*expected, *SIMPLE}
    assert set(metrics.skipped) == {'spice'}
    assert metrics.rows['silent'] == pytest.approx(dict.fromkeys(metrics.rows['silent'], 0), abs=1e-6)


@needs_java
def test_the_tokenizer_is_the_official_one():
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    texts = [text for texts in REFERENCES for text in texts] + ['', '...', 'two  spaces\tand a tab', "'' `` -LRB-", '']
    official = PTBTokenizer().tokenize({number: [{'caption': text}] for number, text in enumerate(texts)})
    assert ptb_tokenize(texts) == [official[number][0] for number in range(len(texts))]
    assert ptb_tokenize(['one\r\ntwo\u2028three', 'four']) == ['one two three', 'four']
    assert ptb_tokenize([]) == []


def test_by_hand(without_java):
    """Two visuals without a common word: what is said of the first is right, of the second half of the words are."""
    references = [['a b c d e'], ['k l m n'], ['x y z u v']]
    rows = coco_metrics({'one': ['a b c d e', 'k l o p', 'x y z u v']}, references).rows['one']
    assert rows['bleu1_simple'] == pytest.approx(100 * 12 / 14)
    assert rows['bleu2_simple'] == pytest.approx(100 * (12 / 14 * 9 / 11) ** 0.5)
    assert rows['rouge_l_simple'] == pytest.approx(100 * (1 + 0.5 + 1) / 3)
    # n-grams of one visual weigh alike. The pair shares 2 of 4 words and 1 of 3 pairs of words; o, p and what has them
    # weigh as much as the others, log(3), since words of no reference count as those of one.
    cosines = [2 / 4, 1 / 3, 0, 0]
    assert rows['cider_simple'] == pytest.approx(100 * (10 + 10 * sum(cosines) / 4 + 10) / 3)


def test_simple_words_need_no_punctuation_and_no_case(without_java):
    references = [['A red circle, above it a square.'], ['Nothing else.']]
    rows = coco_metrics({'one': ['a red circle above it a square', 'nothing else']}, references).rows['one']
    assert rows['bleu4_simple'] == pytest.approx(100) and rows['rouge_l_simple'] == pytest.approx(100)


def test_without_java_official_rows_are_skipped_and_never_replaced(without_java):
    metrics = coco_metrics({'beam': CAPTIONS}, REFERENCES)
    assert set(metrics.rows['beam']) == set(SIMPLE)
    reason = 'the official tokenizer (PTB) does not run: it needs Java, and there is no java on the PATH'
    assert metrics.skipped == dict.fromkeys(OFFICIAL, reason)


def test_java_that_fails(with_java):
    with_java('echo "no Java runtime present" >&2; exit 3')
    metrics = coco_metrics({'beam': CAPTIONS}, REFERENCES)
    assert set(metrics.rows['beam']) == set(SIMPLE)
    said = r"java returned 3 and 0 of 13 lines: ['no Java runtime present']"
    assert set(metrics.skipped) == set(OFFICIAL) and said in metrics.skipped['cider']


def test_java_that_loses_a_caption(with_java):
    with_java('echo one line')
    assert 'java returned 0 and 1 of 13 lines' in coco_metrics({'beam': CAPTIONS}, REFERENCES).skipped['bleu4']


@needs_java
@pytest.mark.parametrize(
    ('meteor', 'patience', 'reason'),
    [
        ('echo "Error: could not reserve enough space" >&2; exit 1', 600, 'METEOR stopped: Error: could not reserve'),
        ('exec sleep 60', -1000, 'METEOR stopped: '),
    ],
)
def test_meteor_that_fails_or_hangs_costs_only_its_own_row(with_java, monkeypatch, meteor, patience, reason):
    with_java(f'case "$*" in *meteor*) {meteor};; *) exec $JAVA "$@";; esac')
    monkeypatch.setattr(coco_caption_metrics, 'ptb_tokenize', list)
    monkeypatch.setattr(coco_caption_metrics, 'PATIENCE', patience)
    metrics = coco_metrics({'beam': CAPTIONS}, REFERENCES)
    assert set(metrics.rows['beam']) == {*OFFICIAL, *SIMPLE} - {'meteor', 'spice'}
    assert metrics.skipped['meteor'].startswith(reason)


def test_spice_is_never_downloaded(monkeypatch):
    from pycocoevalcap.spice import get_stanford_models as models

    monkeypatch.setattr(models, 'urlretrieve', lambda *args, **options: pytest.fail('a download began'))
    monkeypatch.setattr(models, 'SPICELIB', 'nowhere')
    monkeypatch.setattr(coco_caption_metrics, 'ptb_tokenize', list)
    monkeypatch.setattr(coco_caption_metrics, '_meteor', broken)
    reason = coco_metrics({'beam': CAPTIONS}, REFERENCES).skipped['spice']
    assert reason.startswith('its models are not there (') and 'get_stanford_models()' in reason


def broken(seconds):
    raise OSError('no such program')


def test_spice_with_its_models(monkeypatch, tmp_path):
    from pycocoevalcap.spice import get_stanford_models as models
    from pycocoevalcap.spice import spice

    class Spice:
        def compute_score(self, references, captions):
            return sum(len(texts) for texts in references.values()) / 100, []

    monkeypatch.setattr(models, 'SPICELIB', str(tmp_path))
    for name in ('', '-models'):
        (tmp_path / f'{models.JAR}{name}.jar').touch()
    monkeypatch.setattr(spice, 'Spice', Spice)
    monkeypatch.setattr(coco_caption_metrics, 'ptb_tokenize', list)
    monkeypatch.setattr(coco_caption_metrics, '_meteor', broken)
    metrics = coco_metrics({'beam': CAPTIONS}, REFERENCES)
    assert metrics.rows['beam']['spice'] == pytest.approx(9) and metrics.skipped == {
        'meteor': 'OSError: no such program'
    }
    monkeypatch.setattr(Spice, 'compute_score', lambda *args: (float('nan'), []))
    assert coco_metrics({'beam': CAPTIONS}, REFERENCES).skipped['spice'] == 'spice is no finite number'


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, 'pycocoevalcap.bleu.bleu', None)
    metrics = coco_metrics({'beam': CAPTIONS}, REFERENCES)
    assert metrics.rows == {'beam': {}}
    reason = "pycocoevalcap is not installed: pip install 'omnivl[caption]'"
    assert metrics.skipped == dict.fromkeys((*OFFICIAL, *SIMPLE), reason)


def test_one_visual_has_no_cider(without_java):
    metrics = coco_metrics({'beam': CAPTIONS[:1]}, REFERENCES[:1])
    assert 'bleu1_simple' in metrics.rows['beam'] and 'cider_simple' not in metrics.rows['beam']
    assert metrics.skipped['cider_simple'].endswith('there is only one visual')


def test_a_group_is_a_set_of_its_own(monkeypatch):
    monkeypatch.setattr(coco_caption_metrics, 'ptb_tokenize', list)
    monkeypatch.setattr(coco_caption_metrics, '_meteor', broken)
    groups = {'': range(4), '_in_domain': [0, 3], '_out_domain': [1]}
    metrics = coco_metrics({'beam': CAPTIONS, 'other': CAPTIONS[::-1]}, REFERENCES, groups)
    alone = coco_metrics({'beam': [CAPTIONS[0], CAPTIONS[3]]}, [REFERENCES[0], REFERENCES[3]])
    rows = metrics.rows['beam']
    assert {row: rows[f'{row}_in_domain'] for row in alone.rows['beam']} == pytest.approx(alone.rows['beam'])
    assert 'cider_out_domain' in metrics.skipped and 'rouge_l_out_domain' in rows
    whole = coco_metrics({'other': CAPTIONS[::-1]}, REFERENCES)
    assert {row: metrics.rows['other'][row] for row in whole.rows['other']} == pytest.approx(whole.rows['other'])


def test_captions_of_others():
    references = [[f'{visual} {number}' for number in range(visual % 3 + 1)] for visual in range(50)]
    others = other_captions(references)
    assert len(others) == 50 and others == other_captions(references) != other_captions(references, seed=1)
    sources = [int(caption.split()[0]) for caption in others]
    assert sorted(sources) == list(range(50)) and all(source != visual for visual, source in enumerate(sources))
    assert other_captions(references[:2])[1] == '0 0'
    assert other_captions(references[:1]) is None
