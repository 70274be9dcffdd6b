"""What is trained and tested on is found as a double loop finds it, and nothing is read that need not be."""

import itertools
import json

import numpy as np
import pytest
from mmengine.config import Config

from omnivl.datasets import PairDataset, VisualDataset
from omnivl.datasets.annotations import AnnotationReader, BLIPCaptionJSON, Record
from omnivl.datasets.overlap import OverlapError, check_overlap, find_copies, find_overlaps
from omnivl.engine import apply_options
from omnivl.registry import ANNOTATIONS


@ANNOTATIONS.register_module()
class ClipReader(AnnotationReader):
    """Rows of (path, clip); counts how often it was read."""

    modality = 'video'
    reads = 0

    def __init__(self, rows, visual_root=''):
        super().__init__('', visual_root)
        self.rows = rows

    def read(self):
        type(self).reads += 1
        for number, (path, clip) in enumerate(self.rows):
            yield Record(str(number), self.path(path), ['a caption'], clip=clip)


def pairs(rows, name='train', **options):
    return PairDataset(ClipReader(rows), [], name, lazy_init=True, **options)


def test_random_clips_as_a_double_loop_finds_them():
    rng = np.random.default_rng(0)

    def rows(count):
        times = np.sort(rng.integers(0, 12, size=(count, 2)))
        whole = rng.random(count) < 0.1
        return [
            (f'{rng.integers(20)}.mp4', None if all_of_it else (float(start), float(end) + 1))
            for (start, end), all_of_it in zip(times, whole)
        ]

    def meet(one, other):
        return one is None or other is None or max(one[0], other[0]) < min(one[1], other[1])

    for _ in range(30):
        train, held = rows(6), rows(8)
        expected = {
            (path, clip) for path, clip in held if any(path == other and meet(clip, part) for other, part in train)
        }
        overlaps, unread = find_overlaps([pairs(train)], [pairs(held, 'test')])
        assert not unread and sum(len(overlap.shared) for overlap in overlaps) == len(expected)
        assert all(overlap.items == len(set(held)) for overlap in overlaps)


def write(path, images):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([{'image': image, 'caption': 'a caption'} for image in images]))


def loaders(path, root, kind='PairDataset', **options):
    reader = dict(type='BLIPCaptionJSON', ann_file=str(path), visual_root=str(root))
    dataset = dict(type=kind, name=path.stem, annotations=reader, pipeline=[dict(type='NoSuchStep')], **options)
    return dict(image=dict(batch_size=2, dataset=dataset))


@pytest.fixture
def files(tmp_path):
    """A training and a test list in which three of four images are the same."""
    (tmp_path / 'images').mkdir()
    write(tmp_path / 'train.json', ['b.jpg', './c.jpg', 'd.jpg', 'e.jpg'])
    write(tmp_path / 'test.json', ['a.jpg', 'b.jpg', 'c.jpg', 'x/../d.jpg'])
    return tmp_path


def config(files, **changes):
    root = files / 'images'
    made = dict(
        train_dataloader=loaders(files / 'train.json', root),
        test_dataloader=loaders(files / 'test.json', root, 'RetrievalDataset'),
        test_evaluator=dict(image=dict(type='RetrievalEvaluation')),
    )
    return made | changes


def test_sets_that_share_visuals_are_refused_with_number_and_examples(files):
    with pytest.raises(OverlapError) as caught:
        check_overlap(config(files), ('val', 'test'))
    message = str(caught.value)
    assert "3 of the 4 visuals of 'test' are in the training set 'train' too: " in message
    assert message.count('.jpg') == 3 and 'bad_files of its dataset' in message
    assert 'set allow_train_test_overlap=True (--cfg-options allow_train_test_overlap=True)' in message


def test_it_can_be_meant(files):
    cfg = Config(config(files))
    apply_options(cfg, dict(allow_train_test_overlap=True))
    assert check_overlap(cfg, ('test',)) is None
    assert check_overlap(config(files), ('val',)) is None, 'only the roles that are asked for'


def test_what_is_left_out_of_the_training_is_no_overlap(files):
    root = files / 'images'
    (files / 'bad.txt').write_text('\n'.join(str(root / f'{name}.jpg') for name in 'bcd'))
    cfg = config(files, train_dataloader=loaders(files / 'train.json', root, bad_files=str(files / 'bad.txt')))
    assert check_overlap(cfg, ('test',)) is None
    first = config(files, train_dataloader=loaders(files / 'train.json', root, max_items=1))
    with pytest.raises(OverlapError, match='1 of the 4 visuals'):
        check_overlap(first, ('test',))


def test_mixtures_and_several_evaluations_of_one_set(files):
    image = config(files)['train_dataloader']['image']
    mixed = dict(image=dict(image, dataset=dict(type='MixedDataset', datasets=[image['dataset']])))
    test = config(files)['test_dataloader']
    cfg = config(files, train_dataloader=mixed, test_dataloader=test | {'again': test['image']})
    with pytest.raises(OverlapError) as caught:
        check_overlap(cfg, ('test',))
    assert str(caught.value).count('are in the training set') == 1


def test_a_folder_may_be_a_link(files):
    (files / 'link').symlink_to(files / 'images')
    cfg = config(files, train_dataloader=loaders(files / 'train.json', files / 'link'))
    with pytest.raises(OverlapError, match='3 of the 4 visuals'):
        check_overlap(cfg, ('test',))


@pytest.mark.parametrize('part', ['train', 'val'])
def test_the_training_set_of_a_probe_counts(files, part):
    probe = config(files)['train_dataloader']['image']
    cfg = config(files, train_dataloader=None, test_evaluator=dict(image={'type': 'Probe', part: probe}))
    with pytest.raises(OverlapError, match='3 of the 4 visuals'):
        check_overlap(cfg, ('test',))


def test_files_that_are_not_there_are_named(files):
    (files / 'train.json').unlink()
    assert 'train (BLIPCaptionJSON: the file' in check_overlap(config(files), ('test',))
    write(files / 'train.json', ['e.jpg'])
    (files / 'test.json').unlink()
    assert 'does not exist' in check_overlap(config(files), ('test',))
    assert check_overlap(dict(test_dataloader=None), ('val', 'test')) is None


def test_sets_that_can_be_read_are_compared_beside_one_that_cannot(files):
    val = loaders(files / 'nowhere.json', files / 'images', 'RetrievalDataset')
    with pytest.raises(OverlapError, match='3 of the 4 visuals'):
        check_overlap(config(files, val_dataloader=val), ('val', 'test'))


def test_other_datasets_are_passed_over():
    cfg = dict(train_dataloader=dict(image=dict(dataset=dict(type=dict))), test_dataloader=dict(image=None))
    assert check_overlap(cfg, ('test',)) is None


def test_sets_in_folders_apart_are_not_read(tmp_path):
    folders = [tmp_path / name for name in ('a', 'ab', 'a/inside')]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    read = {}
    for one, other in itertools.permutations(folders, 2):
        train, held = (
            PairDataset(ClipReader([('x.mp4', None)], str(root)), [], root.name, lazy_init=True)
            for root in (one, other)
        )
        ClipReader.reads = 0
        assert find_overlaps([train], [held]) == ([], [])
        read[one.name, other.name] = ClipReader.reads
    assert {pair for pair, reads in read.items() if reads} == {('a', 'inside'), ('inside', 'a')}


def test_pictures_and_videos_have_nothing_in_common():
    image = PairDataset(BLIPCaptionJSON('nowhere.json', ''), [], 'image', lazy_init=True)
    assert find_overlaps([image], [pairs([('x.mp4', None)])]) == ([], [])


def test_visuals_of_a_dataset_before_and_after_it_is_read():
    rows = [('x.mp4', None), ('y.mp4', (1.0, 2.0))]
    dataset: VisualDataset = pairs(rows)
    assert list(dataset.iter_visuals()) == rows and dataset.rows is None
    dataset.full_init()
    assert list(dataset.iter_visuals()) == rows


def test_copies_are_found_by_what_is_in_them(tmp_path):
    """In folders apart and under other names; a member of a shard is compared as a file is."""
    contents = dict(a=b'picture', b=b'another', c=b'longer than those', d=b'picture')
    for folder in ('train', 'test'):
        (tmp_path / folder).mkdir()
    for name in 'abc':
        (tmp_path / f'train/{name}.mp4').write_bytes(contents[name])
    (tmp_path / 'test/d.mp4').write_bytes(contents['d'])
    (tmp_path / 'test/e.mp4').write_bytes(b'anothes')  # of one size, and different
    shard = tmp_path / 'train/shard.tar'
    shard.write_bytes(b'head' + contents['d'] + b'rest')
    member = f'tar://x.mp4?4+{len(contents["d"])}::{shard}'
    train = pairs([('a.mp4', None), ('b.mp4', (0.0, 1.0)), ('c.mp4', None), (member, None)])
    train.reader.visual_root = str(tmp_path / 'train')
    test = pairs([('d.mp4', None), ('e.mp4', None), ('gone.mp4', None)], 'test')
    test.reader.visual_root = str(tmp_path / 'test')
    assert find_overlaps([train], [test]) == ([], [])
    copies, missing = find_copies([train], [test], workers=2)
    said = ('train', f'the same file as {tmp_path}/test/d.mp4 of test')
    assert copies == {str(tmp_path / 'train/a.mp4'): said, member: said} and missing == 1
