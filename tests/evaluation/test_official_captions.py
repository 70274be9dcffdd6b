"""The caption evaluation with official metrics, domains, test sets without captions, and the form of the servers."""

import json

import pytest
from evaluation_fakes import loader, sample
from test_caption_evaluation import Speaker

from omnivl.evaluation import CaptionEvaluation, captioning, coco_caption_metrics
from omnivl.evaluation.coco_caption_metrics import OFFICIAL, SIMPLE, coco_metrics, other_captions

pytest.importorskip('pycocoevalcap', reason="pycocoevalcap is not installed: pip install 'omnivl[test]'")
SAYS = [[0, 1, 2, 3, 4], [5, 6, 7], [], [8, 9, 0]]
REFERENCES = [['W0 w1, w2 w3 w4.'], ['w5 w6 w8', 'w7 w7 w7 w7'], ['w1 w2'], ['w8 w9 w0']]


def published(number, references, **meta):
    """A sample of a CaptionDataset: the pipeline has cleaned ``captions``, not ``references``."""
    cleaned = [text.lower().replace(',', ' ').replace('.', ' ') for text in references]
    packed = sample(number, cleaned)
    packed.set_metainfo(dict(references=references, **meta))
    return packed


@pytest.fixture
def samples():
    return [published(number, references) for number, references in enumerate(REFERENCES)]


@pytest.fixture(autouse=True)
def without_java(monkeypatch, tmp_path):
    monkeypatch.setenv('PATH', str(tmp_path))


def without_meteor(seconds):
    raise OSError('no such program')


def official(**options):
    return CaptionEvaluation(official=True, **options)


def test_rows_chance_and_what_is_skipped(samples):
    result = official().run(Speaker(SAYS), loader(samples), 'x')
    said = ['w0 w1 w2 w3 w4', 'w5 w6 w7', '', 'w8 w9 w0']
    expected = coco_metrics({'said': said, 'chance': other_captions(REFERENCES)}, REFERENCES)
    for suffix in ('', '_beam'):
        for row in SIMPLE:
            assert result.metrics[row + suffix] == expected.rows['said'][row]
            assert result.chance[row + suffix] == expected.rows['chance'][row]
    usual = {'exact', 'words', 'exact_beam', 'words_beam'}
    assert set(result.metrics) == usual | {*SIMPLE, *(f'{row}_beam' for row in SIMPLE)}
    assert result.protocol['skipped'] == expected.skipped and set(expected.skipped) == set(OFFICIAL)
    assert result.predictions[0]['references'] == REFERENCES[0], 'as published'
    assert json.loads(json.dumps(result.protocol)) == result.protocol


def test_official_rows_bear_the_name_of_their_method(samples, monkeypatch):
    monkeypatch.setattr(coco_caption_metrics, 'ptb_tokenize', lambda texts: [text.lower() for text in texts])
    monkeypatch.setattr(coco_caption_metrics, '_meteor', without_meteor)
    result = official(methods={'beam': {}}).run(Speaker(SAYS), loader(samples), 'x')
    assert {'bleu1_beam', 'bleu4_beam', 'rouge_l_beam', 'cider_beam', 'cider_simple_beam'} < set(result.metrics)
    assert set(result.protocol['skipped']) == {'meteor', 'spice'}


def test_without_the_option_nothing_changes(samples):
    plain = CaptionEvaluation().run(Speaker(SAYS), loader(samples), 'x')
    assert set(plain.metrics) == {'exact', 'words', 'exact_beam', 'words_beam'}
    assert 'skipped' not in plain.protocol
    assert plain.predictions[0]['references'] == ['w0 w1  w2 w3 w4 '], 'as cleaned'


def test_domains(samples):
    for one, domain in zip(samples, ('in', 'out', 'in', 'out')):
        one.set_metainfo(dict(domain=domain))
    result = official(methods={'greedy': {}}).run(Speaker(SAYS), loader(samples), 'x')
    alone = official(methods={'greedy': {}}).run(Speaker(SAYS), loader(samples[::2]), 'x')
    assert {row: result.metrics[f'{row}_in_domain'] for row in SIMPLE} == {row: alone.metrics[row] for row in SIMPLE}
    assert 'cider_simple_out_domain' in result.metrics and 'cider_simple_near_domain' not in result.metrics
    assert result.chance.keys() >= {'cider_simple_in_domain', 'cider_simple_out_domain'}
    assert [row['domain'] for row in result.predictions] == ['in', 'out', 'in', 'out']


def test_one_visual_has_no_chance_level(samples):
    result = official(methods={'greedy': {}}).run(Speaker(SAYS), loader(samples[:1]), 'x')
    assert result.metrics['bleu1_simple'] == pytest.approx(100) and set(result.chance) == {'exact', 'words'}
    assert 'only one visual' in result.protocol['skipped']['cider_simple']


def test_cleaned_captions_are_no_official_ones():
    with pytest.raises(ValueError, match="may have cleaned those of sample '0': use a CaptionDataset"):
        official().run(Speaker([[0]]), loader([sample(0, ['w0'])]), 'x')


@pytest.mark.parametrize('is_official', [False, True])
def test_a_test_set_without_captions_has_predictions_and_no_figures(is_official):
    samples = [published(number, []) for number in range(2)]
    evaluation = CaptionEvaluation(official=is_official, submission_file='x.json')
    result = evaluation.run(Speaker([[0], [1]]), loader(samples), 'x')
    assert result.metrics == result.chance == {}
    assert [row['beam'] for row in result.predictions] == ['w0', 'w1']
    assert evaluation.submission(result.predictions)[1] == {'image_id': 1, 'caption': 'w1'}


def test_captions_for_some_only():
    samples = [published(0, ['w0']), published(1, [])]
    with pytest.raises(ValueError, match=r"x: sample '1' has no captions \(1 of 2 have none\): all visuals of an"):
        official().run(Speaker([[0], [1]]), loader(samples), 'x')


def prediction(sample_id, visual, **captions):
    return {'sample_id': sample_id, 'visual': visual, 'greedy': 'one', 'beam': 'two', **captions}


def test_submission():
    evaluation = CaptionEvaluation(submission_file='captions_test2014_omnivl_results.json')
    rows = [
        prediction('42', 'test/0a1b.jpg'),
        prediction('val2014/COCO_val2014_000000391895.jpg', 'data/val2014/COCO_val2014_000000391895.jpg'),
        prediction('coco_7', 'train2014/COCO_train2014_000000000009.jpg'),
    ]
    expected = [{'image_id': number, 'caption': 'two'} for number in (42, 391895, 9)]
    assert evaluation.submission(rows) == expected
    assert evaluation.submission_name('image.caption') == 'captions_test2014_omnivl_results.json'
    greedy = CaptionEvaluation(methods={'greedy': {}}, submission_file='x.json')
    assert greedy.submission(rows[:1]) == [{'image_id': 42, 'caption': 'one'}]
    assert CaptionEvaluation().submission(rows) is None
    assert evaluation.submission([]) == []


def test_submission_needs_a_number_for_each_image():
    evaluation = CaptionEvaluation(submission_file='x.json')
    with pytest.raises(ValueError, match=r"neither the id 'a' nor the end of the file name 'b/c\.jpg' is one: set"):
        evaluation.submission([prediction('a', 'b/c.jpg')])
    with pytest.raises(ValueError, match='two predictions have the same image number'):
        evaluation.submission([prediction('a', '7.jpg'), prediction('7', 'x.jpg')])


def test_only_the_first_of_several_processes_computes_official_rows(samples, monkeypatch):
    """Java would else start once per GPU; the others take over what it found."""
    first = official().run(Speaker(SAYS), loader(samples), 'x')
    sent = []
    monkeypatch.setattr(captioning, 'broadcast_object_list', lambda found: sent.extend(found))
    official().run(Speaker(SAYS), loader(samples), 'x')
    monkeypatch.setattr(captioning, 'get_rank', lambda: 1)
    monkeypatch.setattr(captioning, 'coco_metrics', lambda *args: pytest.fail('computed again'))
    monkeypatch.setattr(captioning, 'broadcast_object_list', lambda found: found.__setitem__(slice(None), sent))
    assert official().run(Speaker(SAYS), loader(samples), 'x') == first
