"""Readers of label sets, on a handful of rows in the published form."""

import json

import pytest

from omnivl.datasets import AnnotationError
from omnivl.registry import ANNOTATIONS

KINETICS = (
    'label,youtube_id,time_start,time_end,split,is_cc\n'
    '"massaging person\'s head",zMwXWjP8Xno,5,15,train,0\n'
    'abseiling,-3B32lodo2M,59,69,train,0\n'
    'air drumming,--nQbRBEz2s,104,114,validate,1\n'
)


@pytest.fixture
def images(tmp_path):
    """An ImageNet-like folder with two classes and some files that are no images."""
    for path in ('train/n01443537/b.JPEG', 'train/n01443537/a.JPEG', 'train/n01440764/x.jpg', 'train/n01440764/no.txt'):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / 'train/.cache').mkdir()
    (tmp_path / 'train/readme.txt').touch()
    return tmp_path


def imagenet(root, **options):
    return ANNOTATIONS.build({'type': 'ImageNetFolder', 'visual_root': str(root), **options})


def test_imagenet_classes_are_folders_in_alphabetic_order(images):
    reader = imagenet(images, split='train')
    assert reader.classes == ['n01440764', 'n01443537']
    assert [(record.id, record.label) for record in reader] == [
        ('n01440764/x.jpg', 'n01440764'),
        ('n01443537/a.JPEG', 'n01443537'),
        ('n01443537/b.JPEG', 'n01443537'),
    ]
    assert [record.visual for record in imagenet(images / 'train')] == [record.visual for record in reader]
    assert next(iter(reader)).visual == str(images / 'train/n01440764/x.jpg')


def test_imagenet_words_from_synset_mapping_json_or_folder_name(images):
    words = images / 'LOC_synset_mapping.txt'
    words.write_text('n01440764 tench, Tinca tinca\nn01443537 goldfish, Carassius auratus\n')
    assert imagenet(images, split='train', class_names_file=str(words)).class_names == ['tench', 'goldfish']
    words = images / 'words.json'
    words.write_text(json.dumps({'n01440764': 'tench', 'n01443537': 'gold fish', 'n0': 'unused'}))
    assert imagenet(images, split='train', class_names_file=str(words)).class_names == ['tench', 'gold fish']
    (images / 'val/red_circle').mkdir(parents=True)
    assert imagenet(images, split='val').class_names == ['red circle']


def test_imagenet_class_list_fixes_the_indices(images):
    (images / 'classes.txt').write_text('n01443537\nn01440764\nn99999999\n')
    reader = imagenet(images, split='train', classes_file=str(images / 'classes.txt'))
    assert reader.classes == ['n01443537', 'n01440764', 'n99999999']
    assert [record.label for record in reader] == ['n01443537', 'n01443537', 'n01440764']


def test_imagenet_errors(images):
    with pytest.raises(
        FileNotFoundError, match=r"ImageNetFolder: the folder '.*test' does not exist; set 'visual_root'"
    ):
        list(imagenet(images, split='test'))
    (images / 'empty').mkdir()
    with pytest.raises(AnnotationError, match=r'has no class folders; expected <class>/<image>'):
        list(imagenet(images, split='empty'))
    (images / 'empty/cat').mkdir()
    with pytest.raises(AnnotationError, match='the class folders hold no images'):
        list(imagenet(images, split='empty'))
    words = images / 'words.txt'
    words.write_text('n01440764 tench\n')
    with pytest.raises(AnnotationError, match="no words for 1 class folders, such as 'n01443537'"):
        imagenet(images, split='train', class_names_file=str(words)).class_names  # noqa: B018
    words.write_text('n01440764\n')
    with pytest.raises(AnnotationError, match=r"words\.txt, line 1, field 'words': expected \"folder words\""):
        imagenet(images, split='train', class_names_file=str(words)).class_names  # noqa: B018
    (images / 'words.json').write_text('{"n01440764": 3}')
    with pytest.raises(AnnotationError, match='expected a JSON object'):
        imagenet(images, split='train', class_names_file=str(images / 'words.json')).class_names  # noqa: B018
    (images / 'classes.txt').write_text('n01440764\nn01443538\n')
    with pytest.raises(
        AnnotationError,
        match=r"folder 'n01443537', field 'class': unknown label 'n01443537'; allowed are 'n01440764', 'n01443538'; "
        r"did you mean 'n01443538'",
    ):
        list(imagenet(images, split='train', classes_file=str(images / 'classes.txt')))
    (images / 'classes.txt').write_text('a\n\nb\na\n')
    with pytest.raises(AnnotationError, match=r"classes\.txt, line 4, field 'class': 'a' was already on line 1"):
        list(imagenet(images, split='train', classes_file=str(images / 'classes.txt')))
    (images / 'classes.txt').write_text('\n')
    with pytest.raises(AnnotationError, match=r'classes\.txt: the file is empty; expected one class name per line'):
        list(imagenet(images, split='train', classes_file=str(images / 'classes.txt')))


@pytest.fixture
def kinetics(tmp_path):
    def _build(content=KINETICS, **options):
        (tmp_path / 'k.csv').write_text(content)
        options = {'ann_file': str(tmp_path / 'k.csv'), 'visual_root': str(tmp_path), **options}
        return ANNOTATIONS.build({'type': 'KineticsCSV', **options})

    return _build


def test_kinetics_paths_and_classes(kinetics, tmp_path):
    reader = kinetics()
    assert reader.classes == ['abseiling', 'air drumming', "massaging person's head"]
    records = list(reader)
    assert [record.visual.removeprefix(f'{tmp_path}/') for record in records] == [
        "massaging_person's_head/zMwXWjP8Xno_000005_000015.mp4",
        'abseiling/-3B32lodo2M_000059_000069.mp4',
        'air_drumming/--nQbRBEz2s_000104_000114.mp4',
    ]
    assert (records[2].label, records[2].clip, reader.modality) == ('air drumming', None, 'video')
    # The file of a clip is the clip already; and the classes are those of all splits.
    reader = kinetics(split='validate', path_template='{label}/{youtube_id}.mkv')
    assert [record.visual for record in reader] == [str(tmp_path / 'air drumming/--nQbRBEz2s.mkv')]
    assert len(reader.classes) == 3


def test_kinetics_errors(kinetics, tmp_path):
    with pytest.raises(
        AnnotationError, match=r"k\.csv, line 2, field 'time_start': expected whole seconds, got '5\.5'"
    ):
        list(kinetics(KINETICS.replace(',5,15', ',5.5,15')))
    with pytest.raises(AnnotationError, match=r"line 3, field 'time_end': 59 is not after time_start \(59\)"):
        list(kinetics(KINETICS.replace('59,69', '59,59')))
    with pytest.raises(AnnotationError, match=r"line 3, field 'label': the field is empty"):
        list(kinetics(KINETICS.replace('abseiling', '')))
    with pytest.raises(AnnotationError, match=r"field 'split': no row has split 'val'; .*\['train', 'validate'\]"):
        list(kinetics(split='val'))
    with pytest.raises(AnnotationError, match=r"line 1, field 'label': the column is missing"):
        list(kinetics('youtube_id,time_start,time_end,split\n'))
    with pytest.raises(ValueError, match=r'path_template=.* cannot be filled'):
        kinetics(path_template='{name}.mp4')


def test_an_unknown_label_lists_the_allowed_ones_shortened(kinetics, tmp_path):
    classes = tmp_path / 'label_map_k400.txt'
    classes.write_text('\n'.join(['abseilin', 'air drumming'] + [f'sport {number}' for number in range(398)]))
    reader = kinetics(classes_file=str(classes), split='train')
    with pytest.raises(AnnotationError) as error:
        list(reader)
    assert "line 2, field 'label': unknown label \"massaging person's head\"; allowed are 'abseilin'" in str(
        error.value
    )
    assert "'sport 5', ... (400 in all)" in str(error.value)
    classes.write_text("abseilin\nair drumming\nmassaging person's head\n")
    with pytest.raises(AnnotationError, match=r"line 3.*did you mean 'abseilin'\?"):
        list(kinetics(classes_file=str(classes), split='train'))


@pytest.fixture
def mmaction(tmp_path):
    def _build(content, **options):
        (tmp_path / 'list.txt').write_text(content)
        (tmp_path / 'label_map.txt').write_text('abseiling\nair drumming\n')
        options = {'classes_file': str(tmp_path / 'label_map.txt'), 'visual_root': str(tmp_path), **options}
        return ANNOTATIONS.build({'type': 'MMActionList', 'ann_file': str(tmp_path / 'list.txt'), **options})

    return _build


def test_mmaction_list_allows_spaces_in_paths_and_other_delimiters(mmaction, tmp_path):
    reader = mmaction('air drumming/a b.mp4 1\nabseiling/c.mp4 0\n')
    assert [(record.id, record.label) for record in reader] == [
        ('air drumming/a b.mp4', 'air drumming'),
        ('abseiling/c.mp4', 'abseiling'),
    ]
    (record,) = reader = mmaction('a,b.jpg,1\n', delimiter=',', modality='image')
    assert (record.visual, record.label, reader.modality) == (str(tmp_path / 'a,b.jpg'), 'air drumming', 'image')


def test_mmaction_errors(mmaction):
    with pytest.raises(AnnotationError, match=r'list\.txt, line 2: expected "path label", got \'only\''):
        list(mmaction('a.mp4 0\nonly\n'))
    with pytest.raises(AnnotationError, match=r"line 1, field 'label': expected the index of a class, got 'x'"):
        list(mmaction('a.mp4 x\n'))
    with pytest.raises(AnnotationError, match=r"line 1, field 'label': index 2, but .* names classes 0 to 1"):
        list(mmaction('a.mp4 2\n'))
    with pytest.raises(ValueError, match="delimiter=''"):
        mmaction('', delimiter='')
    with pytest.raises(FileNotFoundError, match="set 'classes_file'"):
        list(mmaction('a.mp4 0\n', classes_file='nowhere.txt'))
