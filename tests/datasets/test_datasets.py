"""Items of the datasets: what is in them, and that they follow from the key alone."""

import json
import pickle

import numpy as np
import pytest
import torch
from mmengine.config import Config
from torch.utils.data import DataLoader

from omnivl.datasets import (
    AnnotationError,
    EpochSampler,
    MixedDataset,
    SampleKey,
    base,
    caption_target_id,
    class_target_id,
    collate_samples,
)
from omnivl.datasets.prompts import ACTIONCLIP_TEMPLATES, CLIP_IMAGE_TEMPLATES, TEMPLATES, fill_prompt, get_templates
from omnivl.datasets.storage import CompactRows
from omnivl.engine.config import ConfigError, check_config
from omnivl.registry import DATASETS
from omnivl.structures import VLDataSample

META = ('sample_id', 'source', 'visual', 'modality', 'text', 'captions')


def pack(results):
    """A pipeline in one step: random pixels instead of a decoded file."""
    frames = results['rng'].integers(0, 256, (2, 3, 4, 4), dtype=np.uint8)
    sample = VLDataSample(metainfo={key: results[key] for key in META if key in results})
    for key in ('target_id', 'label'):
        if key in results:
            setattr(sample, key, results[key])
    return {'inputs': {'image': torch.from_numpy(frames)}, 'pts_seconds': {}, 'data_samples': sample}


@pytest.fixture
def files(tmp_path):
    """Captions of five images in BLIP's form (one image has two rows), and two classes of images."""
    rows = [{'image': f'{number}.jpg', 'caption': f'Caption {number}.', 'image_id': number} for number in range(5)]
    rows.append({'image': '1.jpg', 'caption': ['caption 0', 'another'], 'image_id': 1})
    (tmp_path / 'list.json').write_text(json.dumps(rows))
    for path in ('labels/b_ball/0.jpg', 'labels/a/1.jpg', 'labels/a/2.jpg', 'labels/a/3.jpg'):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    return tmp_path


def pairs(root, kind='PairDataset', **options):
    annotations = {'type': 'BLIPCaptionJSON', 'ann_file': f'{root}/list.json', 'visual_root': str(root)}
    return DATASETS.build({'type': kind, 'annotations': annotations, 'pipeline': [pack], 'name': 'coco', **options})


def labels(root, **options):
    annotations = {'type': 'ImageNetFolder', 'visual_root': f'{root}/labels'}
    defaults = {'annotations': annotations, 'pipeline': [pack], 'name': 'imagenet', 'templates': 'clip_image'}
    return DATASETS.build({'type': 'LabelDataset', **defaults, **options})


def equal(left, right):
    """Whether two items are the same, pixels and all."""
    one, other = left['data_samples'], right['data_samples']
    return torch.equal(left['inputs']['image'], right['inputs']['image']) and one.to_dict() == other.to_dict()


def test_pairs_have_one_item_per_caption(files):
    dataset = pairs(files)
    assert (len(dataset), dataset.name, dataset.modality, dataset.classes) == (7, 'coco', 'image', None)
    info = dataset.get_data_info(5)
    assert info == {
        'visual': str(files / '1.jpg'),
        'modality': 'image',
        'clip': None,
        'sample_id': '1#5',
        'source': 'coco',
        'text': 'caption 0',
        'target_id': caption_target_id('Caption 0.'),
    }
    # The same caption of another image is the same target.
    assert dataset.get_data_info(0)['target_id'] == info['target_id'] != dataset.get_data_info(1)['target_id']
    assert len({dataset.get_data_info(index)['sample_id'] for index in range(7)}) == 7
    assert dataset[6]['data_samples'].text == 'another'
    assert equal(dataset[-1], dataset[6])
    with pytest.raises(IndexError, match="'coco' has 7 items, there is no item 7"):
        dataset[7]


def test_retrieval_has_one_item_per_visual_and_no_randomness(files):
    dataset = pairs(files, 'RetrievalDataset')
    assert len(dataset) == 5
    info = dataset.get_data_info(1)
    assert info['captions'] == ['Caption 1.', 'caption 0', 'another'] and 'text' not in info
    assert info['sample_id'] == '1'
    assert equal(dataset[SampleKey(3, 0)], dataset[SampleKey(3, 9)])


def test_retrieval_ids_stay_apart_when_the_file_repeats_them(files):
    rows = [{'image': name, 'caption': 'x', 'image_id': 7} for name in ('a.jpg', 'b.jpg')]
    (files / 'list.json').write_text(json.dumps(rows))
    dataset = pairs(files, 'RetrievalDataset')
    assert [dataset.get_data_info(index)['sample_id'] for index in range(2)] == ['7#0', '7#1']


def test_labels_have_one_item_per_visual_and_a_prompt_per_epoch(files):
    dataset = labels(files, templates=['a {}', 'the {}', 'one {}'])
    assert (len(dataset), dataset.classes) == (4, ['a', 'b ball'])
    info = dataset.get_data_info(3)
    assert (info['label'], info['target_id'], info['sample_id']) == (
        1,
        class_target_id('imagenet', 'b_ball'),
        'b_ball/0.jpg',
    )
    texts = [dataset[SampleKey(3, epoch)]['data_samples'].text for epoch in range(30)]
    assert set(texts) == {'a b ball', 'the b ball', 'one b ball'}
    assert dataset[0]['data_samples'].label == 0
    # Another name with the same label space is the same target.
    other = labels(files, name='more', label_space='imagenet')
    assert other.get_data_info(3)['target_id'] == info['target_id']
    assert labels(files, name='more').get_data_info(3)['target_id'] != info['target_id']


def test_labels_without_templates_have_no_text(files):
    item = labels(files, templates=None)[3]
    assert item['data_samples'].label == 1 and 'text' not in item['data_samples']
    with pytest.raises(ValueError, match="LabelDataset 'imagenet': its pipeline has transforms of text, but templ"):
        labels(files, templates=None, pipeline=[{'type': 'LoadImage'}, {'type': 'CleanCaption', 'max_words': 3}])


def test_max_items_takes_the_first_pairs_and_spreads_over_the_classes(files):
    assert len(pairs(files, max_items=3)) == 3
    assert len(pairs(files, max_items=100)) == 7
    dataset = labels(files, max_items=2)
    assert [dataset.get_data_info(index)['sample_id'] for index in range(2)] == ['a/1.jpg', 'a/3.jpg']
    assert len(labels(files, max_items=100)) == 4
    # What lies behind the last item is not read: its mistakes cannot matter.
    (files / 'list.json').write_text(
        '[{"image": "a.jpg", "caption": "x"}, {"image": "b.jpg", "caption": "y"}, {}, nonsense'
    )
    assert len(pairs(files, max_items=1)) == 1


def test_bad_files_are_left_out(files):
    (files / 'bad.txt').write_text(f'{files}/./1.jpg\n\n{files}/4.jpg\n')
    dataset = pairs(files, bad_files=str(files / 'bad.txt'))
    assert [dataset.get_data_info(index)['text'] for index in range(len(dataset))] == [
        'Caption 0.',
        'Caption 2.',
        'Caption 3.',
    ]
    with pytest.raises(
        FileNotFoundError, match=r"PairDataset: the file 'nowhere\.txt' does not exist; set 'bad_files'"
    ):
        pairs(files, bad_files='nowhere.txt')


def test_lazy_init_reads_nothing_until_asked(files):
    dataset = pairs(files / 'nowhere', lazy_init=True)
    assert (dataset.modality, dataset.rows) == ('image', None)
    with pytest.raises(FileNotFoundError, match='ann_file'):
        len(dataset)
    assert len(pairs(files, lazy_init=True)) == 7
    mixed = DATASETS.build({'type': 'MixedDataset', 'lazy_init': True, 'datasets': [config(files / 'nowhere')]})
    with pytest.raises(FileNotFoundError, match='ann_file'):
        mixed.full_init()


def config(root):
    annotations = {'type': 'BLIPCaptionJSON', 'ann_file': f'{root}/list.json', 'visual_root': str(root)}
    return {'type': 'PairDataset', 'annotations': annotations, 'pipeline': [pack], 'name': 'coco'}


def test_an_item_follows_from_seed_epoch_name_and_index_alone(files):
    dataset = pairs(files)
    forwards = [dataset[SampleKey(index, 2)] for index in range(7)]
    backwards = [dataset[SampleKey(index, 2)] for index in reversed(range(7))][::-1]
    assert all(map(equal, forwards, backwards))
    assert equal(pickle.loads(pickle.dumps(dataset))[SampleKey(4, 2)], forwards[4])
    pixels = [dataset[4], dataset[SampleKey(4, 1)], dataset[SampleKey(3, 0)]]
    pixels += [pairs(files, seed=1)[4], pairs(files, name='flickr')[4]]
    assert len({item['inputs']['image'].numpy().tobytes() for item in pixels}) == len(pixels)
    assert equal(dataset[4], dataset[SampleKey(4, 0)])


def test_an_item_does_not_depend_on_the_worker(files):
    mixed = MixedDataset([pairs(files), labels(files)])
    loaded = {}
    for workers in (0, 2):
        sampler = EpochSampler(mixed, batch_size=2, seed=3)
        sampler.set_position(1, 0)
        loader = DataLoader(mixed, batch_size=2, sampler=sampler, num_workers=workers, collate_fn=collate_samples)
        loaded[workers] = list(loader)
    assert len(loaded[0]) == len(loaded[2]) == 5
    for one, other in zip(loaded[0], loaded[2]):
        pixels = one['inputs']['image']
        assert pixels.shape == (2, 2, 3, 4, 4) and pixels.dtype == torch.uint8
        assert torch.equal(pixels, other['inputs']['image'])
        assert [s.to_dict() for s in one['data_samples']] == [s.to_dict() for s in other['data_samples']]


def test_mixed_items_are_those_of_their_sources(files):
    first, second = pairs(files), labels(files)
    mixed = MixedDataset([first, second])
    assert (len(mixed), mixed.modality, mixed.name) == (11, 'image', 'coco+imagenet')
    assert mixed.sources == [('coco', 0, 7), ('imagenet', 7, 11)]
    assert equal(mixed[SampleKey(6, 2)], first[SampleKey(6, 2)])
    assert equal(mixed[SampleKey(7, 2)], second[SampleKey(0, 2)])
    assert equal(mixed[-1], second[3])
    with pytest.raises(IndexError, match=r"'coco\+imagenet' has 11 items, there is no item 11"):
        mixed[11]


def test_mixed_refuses_what_cannot_be_mixed(files):
    with pytest.raises(ValueError, match=r"the names \['coco', 'coco'\] must differ"):
        MixedDataset([pairs(files), pairs(files)])
    with pytest.raises(ValueError, match='datasets is empty'):
        MixedDataset([])
    clips = pairs(files, name='webvid')
    clips.reader.modality = 'video'
    with pytest.raises(ValueError, match=r"\{'coco': 'image', 'webvid': 'video'\}; a batch has one modality"):
        MixedDataset([pairs(files), clips])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'broken': 'ignore'}, r"PairDataset 'coco': broken='ignore'; allowed are \('raise', 'skip', 'replace'\)"),
        ({'max_broken_share': 5}, 'max_broken_share=5; it is a share between 0 and 1'),
        ({'seed': -1}, 'seed=-1; it must not be negative'),
        ({'max_items': 0}, 'max_items=0; give at least 1, or None'),
    ],
)
def test_wrong_options_say_what_is_allowed(files, options, message):
    with pytest.raises(ValueError, match=message):
        pairs(files, **options)


def test_captions_and_labels_are_not_mistaken_for_each_other(files):
    folders = {'type': 'ImageNetFolder', 'visual_root': f'{files}/labels'}
    with pytest.raises(ValueError, match=r"record 'a/1.jpg' has no caption; label sets go into a LabelDataset"):
        pairs(files, annotations=folders)
    with pytest.raises(ValueError, match=r"RetrievalDataset 'coco': record 'a/1\.jpg' has no caption"):
        pairs(files, 'RetrievalDataset', annotations=folders)
    with pytest.raises(ValueError, match='BLIPCaptionJSON reads captions, not classes'):
        labels(files, annotations=pairs(files).reader)


def test_a_source_without_items_is_an_error_and_dropped_captions_are_logged(files, monkeypatch):
    (files / 'list.json').write_text('[{"image": "a.jpg", "caption": ""}, {"image": "b.jpg", "caption": "b"}]')
    with pytest.raises(AnnotationError, match='the caption is empty'):
        pairs(files)
    reader = {'type': 'BLIPCaptionJSON', 'ann_file': f'{files}/list.json', 'visual_root': str(files), 'empty': 'drop'}
    log = []
    monkeypatch.setattr(base, 'print_log', lambda message, logger: log.append(message))
    assert len(pairs(files, annotations=reader)) == 1
    assert log == [f'coco: 1 items (image) from {files}/list.json, 1 empty captions dropped']
    (files / 'list.json').write_text('[]')
    with pytest.raises(ValueError, match=r"PairDataset 'coco': no item is left of .*list\.json"):
        pairs(files)


def test_compact_rows_are_a_list_in_two_buffers():
    rows = [('a', None, 'é' * number, [number]) for number in range(1000)]
    compact = CompactRows(row for row in rows)
    assert len(compact) == 1000 and [compact[index] for index in range(1000)] == rows
    assert pickle.loads(pickle.dumps(compact))[999] == rows[999]
    held = sum(buffer.nbytes for buffer in vars(compact._strings).values())
    assert held == sum(len(pickle.dumps(row, protocol=pickle.HIGHEST_PROTOCOL)) for row in rows) + 1000 * 8
    assert len(CompactRows([])) == 0


def test_templates_have_one_place_for_the_class():
    assert len(set(CLIP_IMAGE_TEMPLATES)) == 80 and len(set(ACTIONCLIP_TEMPLATES)) == 16
    for templates in TEMPLATES.values():
        assert get_templates(templates) == templates
    assert get_templates('actionclip') == ACTIONCLIP_TEMPLATES
    assert fill_prompt('a {} here', "{odd} person's") == "a {odd} person's here"
    for wrong in ('a photo', '{} and {}', 3):
        with pytest.raises(ValueError, match=r"must have '\{\}' exactly once"):
            get_templates([wrong])
    with pytest.raises(ValueError, match=r"templates='clip'; allowed are \['actionclip', 'clip_image'\]"):
        get_templates('clip')
    with pytest.raises(ValueError, match='templates is an empty list'):
        get_templates([])


def test_a_prompt_gets_the_ids_of_an_item_with_that_text(files, tmp_path):
    """Zero-shot prompts must be cleaned as the prompts of training were."""
    vocab = tmp_path / 'vocab.txt'
    vocab.write_text('\n'.join(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a', 'photo', 'of', 'b', 'c', 'd']))
    tokenizer = dict(type='WordPieceTokenizer', vocab_file=str(vocab))
    steps = [dict(type='CleanCaption'), dict(type='TokenizeText', tokenizer=tokenizer, max_length=9)]
    dataset = labels(files, pipeline=[*steps, lambda results: results], templates=['A photo, of a {}!'])
    item = dataset[0]
    assert np.array_equal(dataset.tokenize(f'A photo, of a {dataset.classes[item["label"]]}!'), item['text_ids'])
    assert np.array_equal(dataset.tokenize('A photo.'), [2, 5, 6, 3])
    with pytest.raises(ValueError, match='its pipeline has no TokenizeText'):
        labels(files).tokenize('a photo')


@pytest.mark.parametrize('kind', ['PairDataset', 'QADataset', 'LabelDataset', 'RetrievalDataset'])
def test_options_of_the_base_class_are_handed_on_and_checked(files, kind):
    config = {'type': kind, 'annotations': labels(files).reader, 'pipeline': [], 'name': 'x', 'lazy_init': True}
    assert DATASETS.build(config | {'max_items': 3, 'seed': 5}).max_items == 3
    check_config(Config(dict(test_dataloader=dict(x=dict(dataset=dict(type=kind, max_items=3))))))
    with pytest.raises(TypeError, match='max_item'):
        DATASETS.build(config | {'max_item': 3})
    with pytest.raises(ConfigError, match=r'max_item.*max_items'):
        check_config(Config(dict(test_dataloader=dict(x=dict(dataset=dict(type=kind, max_item=3))))))
