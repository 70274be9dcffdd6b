"""The protocol names the files of the annotations, by their checksum too."""

import hashlib
import json
from types import SimpleNamespace

import numpy as np
from evaluation_fakes import FakeModel, loader, sample

from omnivl.datasets import LabelDataset, MixedDataset, PairDataset, RetrievalDataset
from omnivl.datasets.annotations import BLIPCaptionJSON, HMDB51Splits, ImageNetFolder, KarpathyJSON, VisualGenome
from omnivl.evaluation import RetrievalEvaluation
from omnivl.evaluation.annotation_files import describe_annotations


def captions(folder, name='list.json', images=('a.jpg', 'a.jpg', 'b.jpg')):
    path = folder / name
    path.write_text(json.dumps([{'image': image, 'caption': f'a cat {n}'} for n, image in enumerate(images)]))
    return path


def test_name_file_split_and_items(tmp_path):
    path = captions(tmp_path)
    dataset = RetrievalDataset(BLIPCaptionJSON(str(path), str(tmp_path)), [], 'cats')
    assert describe_annotations(dataset) == [
        dict(
            name='cats',
            reader='BLIPCaptionJSON',
            visual_root=str(tmp_path),
            split=None,
            items=2,
            files=dict(ann_file=dict(file=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest())),
        )
    ]


def test_all_files_of_a_reader_and_its_split(tmp_path):
    regions, images, karpathy = (tmp_path / name for name in ('regions.json', 'images.json', 'dataset_coco.json'))
    (tmp_path / 'VG_100K').mkdir()
    row = {'id': 1, 'regions': [{'image_id': 1, 'region_id': 1, 'phrase': 'a cat'}]}
    regions.write_text(json.dumps([row]))
    images.write_text(json.dumps([{'image_id': 1, 'url': 'https://x/VG_100K/1.jpg'}]))
    genome = VisualGenome(str(regions), str(tmp_path), image_file=str(images))
    assert set(describe_annotations(PairDataset(genome, [], 'vg'))[0]['files']) == {'ann_file', 'image_file'}
    image = {'filename': 'a.jpg', 'split': 'test', 'sentences': [{'raw': 'a cat'}], 'cocoid': 1}
    karpathy.write_text(json.dumps({'images': [image]}))
    one = RetrievalDataset(KarpathyJSON(str(karpathy), str(tmp_path), split='test'), [], 'coco')
    assert describe_annotations(one)[0]['split'] == 'test'


def test_a_folder_of_split_files(tmp_path):
    splits, videos = tmp_path / 'splits', tmp_path / 'videos'
    splits.mkdir()
    videos.mkdir()
    lines = {'wave_test_split1.txt': 'c.avi 1 \n', 'brush_hair_test_split1.txt': 'a.avi 1 \nb.avi 2 \n'}
    for name, text in lines.items():
        (splits / name).write_text(text)
    found = describe_annotations(LabelDataset(HMDB51Splits(str(splits), str(videos), 'test'), [], 'hmdb51'))[0]
    joined = ''.join(lines[name] for name in sorted(lines)).encode()
    expected = dict(file=str(splits), sha256=hashlib.sha256(joined).hexdigest())
    assert (found['files'], found['split'], found['items']) == ({'splits_root': expected}, 1, 1)


def test_sets_without_files_mixtures_and_others(tmp_path):
    (tmp_path / 'n1').mkdir()
    (tmp_path / 'n1/a.JPEG').write_bytes(b'')
    folder = LabelDataset(ImageNetFolder(str(tmp_path)), [], 'folder', ['{}'])
    cats = RetrievalDataset(BLIPCaptionJSON(str(captions(tmp_path)), str(tmp_path)), [], 'cats')
    first, second = describe_annotations(MixedDataset([folder, cats]))
    assert (first['name'], first['items'], first['files']) == ('folder', 1, {})
    assert (second['name'], second['items']) == ('cats', 2)
    assert describe_annotations(SimpleNamespace(classes=['a'])) == describe_annotations(None) == []


def test_every_result_has_them(tmp_path):
    class Batches(list):
        dataset = RetrievalDataset(BLIPCaptionJSON(str(captions(tmp_path)), str(tmp_path)), [], 'cats')

    data = Batches(loader([sample(0, [0]), sample(1, [1])]))
    protocol = RetrievalEvaluation().run(FakeModel(np.eye(2), np.eye(2)), data, 'x').protocol
    assert protocol['annotations'] == describe_annotations(Batches.dataset)
    json.dumps(protocol)
