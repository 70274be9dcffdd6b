"""Every form that a folder of one's own may have is found out and read, and what is of no use is counted."""

import json
import tarfile

import finetune_world as world
import pytest

from omnivl.commands.finetune.forms import offers, task_of, understand
from omnivl.commands.finetune.items import OwnDataError
from omnivl.datasets.errors import AnnotationError

CAPTIONS = [['file_name', 'caption'], *([f'p{n}.png', f'number {n}'] for n in range(8))]
LABELS = [['Image', 'Class'], *([f'images/p{n}.png', 'even' if n % 2 else 'odd'] for n in range(8))]
QUESTIONS = [['path', 'question', 'answer'], *([f'p{n}.png', 'which number?', str(n)] for n in range(8))]
FORMS = {
    'texts': (world.texts, {}, 'with .txt beside them: 8 images, 16 captions', 'caption'),
    'table': (world.table, dict(rows=CAPTIONS), 'a table (data.csv): 8 images, 8 captions', 'caption'),
    'semicolons': (world.table, dict(rows=CAPTIONS, delimiter=';'), '8 images, 8 captions', 'caption'),
    'tsv': (world.table, dict(rows=CAPTIONS, name='x.tsv', delimiter='\t'), '8 images, 8 captions', 'caption'),
    'labels': (world.table, dict(rows=LABELS), '8 images, 2 classes', 'classify'),
    'questions': (world.table, dict(rows=QUESTIONS), '8 images, 8 questions', 'vqa'),
    'metadata': (world.metadata, {}, 'a table (metadata.jsonl): 8 images, 8 captions', 'caption'),
    'classes': (world.classes, {}, 'a folder for each class: 9 images, 3 classes', 'classify'),
    'split classes': (world.classes, dict(splits=('train', 'test')), '18 images, 3 classes', 'classify'),
    'img2dataset': (world.shards, dict(tar=False), '8 images, 8 captions', 'caption'),
    'tar files': (world.shards, {}, '2 shards of img2dataset', 'caption'),
    'coco': (world.coco, {}, 'captions of captions.json: 8 images, 16 captions', 'caption'),
    'karpathy': (world.karpathy, {}, 'captions of dataset_own.json: 8 images, 8 captions', 'caption'),
}


def read(folder, form=None, **columns):
    return understand(folder, form, columns, folder.parent / 'unpacked')


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'own').mkdir()
    return tmp_path / 'own'


@pytest.mark.parametrize('name', FORMS)
def test_a_form_is_found_out(name, folder):
    make, options, said, task = FORMS[name]
    found = read(make(folder, **options))
    assert said in found.lines()[0] and found.left_out == {}
    assert task_of(found.items)[0] == task


def test_pictures_and_clips_may_be_mixed_and_nested(folder):
    world.texts(folder / 'a/b', 4)
    for number in range(3):
        world.clip(folder / f'clips/c{number}.mp4', number)
        (folder / f'clips/c{number}.txt').write_text('\n moves \n\n')
    found = read(folder)
    assert '4 images and 3 videos, 11 captions' in found.lines()[0]
    assert [item.record.text for item in found.items if item.modality == 'video'] == [['moves']] * 3


def test_what_has_no_other_half_is_counted(folder):
    world.texts(folder, 4)
    world.picture(folder / 'alone.png', 50)
    world.picture(folder / 'silent.png', 51)
    (folder / 'silent.txt').write_text('\n')
    (folder / 'readme.txt').write_text('about')
    (folder / 'latin.txt').write_bytes(b'caf\xe9')
    world.picture(folder / 'latin.png', 52)
    assert read(folder).left_out == {
        'pictures and clips without a .txt': ['alone.png'],
        'with an empty .txt': ['silent.png'],
        'texts that are not UTF-8': ['latin.txt'],
        'texts without a picture or clip of their name': ['readme.txt'],
    }


def test_rows_of_no_use_are_counted(folder):
    rows = [
        *CAPTIONS[:6],
        *([['gone.png', 'x'], ['', 'x'], ['https://a.b/c.png', 'x'], ['p6.png', ''], ['data.csv', 'x']]),
    ]
    found = read(world.table(folder, rows))
    assert len(found.items) == 5
    assert {reason: len(names) for reason, names in found.left_out.items()} == {
        'rows whose file is missing': 1,
        'rows without the name of a file': 1,
        'rows whose file is an address of the network (download it first)': 1,
        'rows that say nothing of their file': 1,
        'rows whose file is none of image and video and audio': 1,
    }
    assert 'left out: 1 rows whose file is missing: gone.png' in found.lines()


def test_columns_may_be_named(folder):
    rows = [['what', 'words'], *CAPTIONS[1:]]
    found = read(world.table(folder, rows), file='what', text='words')
    assert "columns: file = 'what', text = 'words'" in found.lines() and len(found.items) == 8


def test_lists_and_answers_of_json_rows(folder):
    world.texts(folder, 2)
    rows = [dict(image=f'p{n}.png', caption=['a', 'b'], question='q?', answers=[dict(answer='yes')]) for n in range(2)]
    (folder / 'list.json').write_text(json.dumps(rows))
    records = [item.record for item in read(folder, 'table').items]
    assert records[0].text == ['a', 'b'] and records[0].answers == ['yes']
    assert offers(read(folder, 'table').items) == ['caption', 'retrieval', 'vqa']


def test_a_split_that_the_data_has_is_kept(folder):
    splits = [item.split for item in read(world.karpathy(folder)).items]
    assert (splits.count('train'), splits.count('test')) == (6, 2)
    rows = [[*CAPTIONS[0], 'Split'], *([*row, 'valid' if n < 2 else 'Training'] for n, row in enumerate(CAPTIONS[1:]))]
    other = folder / 'other'
    other.mkdir()
    splits = [item.split for item in read(world.table(other, rows)).items]
    assert splits == ['val'] * 2 + ['train'] * 6


def test_a_shard_writes_nowhere_else(folder):
    world.shards(folder)
    shard = folder / '00000.tar'
    for name in ('../../escaped.txt', '/tmp/escaped_of_a_shard.txt', 'run.py', '.hidden.jpg'):
        world.add_member(shard, name)
    world.add_member(shard, 'link.jpg', kind=tarfile.SYMTYPE, link='/etc/passwd')
    world.add_member(shard, 'hard.txt', kind=tarfile.LNKTYPE, link='00000000.txt')
    found = read(folder)
    unpacked = sorted(path.name for path in (folder.parent / 'unpacked/00000').iterdir())
    assert not [name for name in unpacked if name.startswith(('run', 'link', 'hard', '.hidden'))]
    assert not list(folder.parent.glob('escaped*')) and not list(folder.parent.parent.glob('escaped*'))
    assert len(found.items) == 8
    refused = found.left_out['members of shards that are no pictures, clips, texts or JSON']
    assert len(refused) == 4 and found.left_out['texts without a picture or clip of their name']


def test_shards_are_unpacked_once(folder):
    world.shards(folder)
    read(folder)
    (folder.parent / 'unpacked/00000/00000000.txt').write_text('changed')
    assert 'changed' in [item.record.text[0] for item in read(folder).items]


def many_tables(folder):
    world.table(folder, CAPTIONS)
    world.table(folder, CAPTIONS, 'more.csv')


def texts_and_table(folder):
    world.texts(folder)
    world.table(folder, CAPTIONS)


def cut_shard(folder):
    world.shards(folder)
    (folder / '00000.tar').write_bytes((folder / '00000.tar').read_bytes()[:700])


def short_row(folder):
    world.table(folder, [*CAPTIONS, ['p1.png']])


def bare(folder):
    world.picture(folder / 'p.png', 0)


BAD = {
    'empty': (lambda folder: None, {}, 'holds nothing, and no form that is known: .*metadata.jsonl'),
    'pictures alone': (bare, {}, 'holds 1 files, and no form that is known'),
    'two forms': (texts_and_table, {}, r'can be read as table \(data.csv\) and texts .*--form table or --form texts'),
    'two tables': (many_tables, {}, 'several tables .data.csv, more.csv.: give the path of one'),
    'another form': (world.texts, dict(form='coco'), "has nothing of the form 'coco' .*it has texts"),
    'no files': (lambda f: world.table(f, [['a', 'caption'], ['p', 'x']]), {}, 'none of which is of files: .*--file-c'),
    'no words': (lambda f: world.table(f, [['file', 'b'], ['p', 'x']]), {}, 'none of which says what a file shows'),
    'no column': (lambda f: world.table(f, CAPTIONS), dict(text='words'), "no column 'words' .--text-column.; it has"),
    'strange split': (
        lambda f: world.table(f, [['file', 'text', 'split'], ['p1.png', 'x', 'odd']]),
        {},
        "split is 'odd'",
    ),
    'nothing found': (
        lambda f: world.table(f, [['file', 'text'], ['gone.png', 'x']]),
        {},
        'no item can be used. .*left out',
    ),
    'cut shard': (cut_shard, {}, 'is no whole tar file'),
    'short row': (short_row, {}, '1 fields, the header names 2'),
}


@pytest.mark.parametrize('name', BAD)
def test_a_folder_of_no_use_is_an_error_of_one_line(name, folder):
    make, options, said = BAD[name]
    make(folder)
    with pytest.raises((OwnDataError, AnnotationError), match=said) as error:
        read(folder, **options)
    assert '\n' not in str(error.value)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(OwnDataError, match=r'there is no folder .*gone: give one that holds'):
        read(tmp_path / 'gone')


def test_a_class_is_no_task_without_words(folder):
    found = read(world.metadata(folder))
    for item in found.items:
        item.record.text = []
    with pytest.raises(OwnDataError, match='nothing is said of the 8 files'):
        task_of(found.items)
