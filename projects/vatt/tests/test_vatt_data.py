"""Words, moments of videos with their candidate texts, and how these lie in a batch."""

import numpy as np
import pytest
import torch

from omnivl.datasets.annotations import AnnotationReader, Record
from omnivl.errors import OmniVLError
from omnivl.structures import VLDataSample
from projects.vatt.data import CandidateDataset, CandidatePreprocessor, WordTokenizer

WORDS = ('<pad>', '<bos>', '<eos>', '<unk>', 'stir', 'the', 'pan', "don't".replace("'", ''))


@pytest.mark.parametrize('numbered', [False, True])
def test_words_are_looked_up_without_marks(numbered, tmp_path):
    file = tmp_path / 'words.txt'
    file.write_text('\n'.join(f'{number} {word}' if numbered else word for number, word in enumerate(WORDS)))
    tokenizer = WordTokenizer(file)
    assert tokenizer.encode("Stir the PAN, don't spill!", 16).tolist() == [4, 5, 6, 7, 3]
    assert tokenizer.encode('the pan the pan', 3).tolist() == [5, 6, 5]
    assert tokenizer.encode('', 16).dtype == np.int64 and not len(tokenizer.encode('...', 16))
    assert (tokenizer.pad_id, tokenizer.unk_id, tokenizer.vocab_size) == (0, 3, 8)
    assert tokenizer.unknown_words('stir it') == ['it']
    (tmp_path / 'copy').mkdir()
    tokenizer.save(tmp_path / 'copy')
    assert WordTokenizer(tmp_path / 'copy/vocab.txt').definition() == tokenizer.definition()


def test_bad_vocabularies_get_their_line(tmp_path):
    file = tmp_path / 'words.txt'
    with pytest.raises(OmniVLError, match='no vocabulary'):
        WordTokenizer(file).encode('a', 4)
    for content, message in (('stir\nthe', 'must have <pad>'), ('<pad>\n1 2 3', 'line 2')):
        file.write_text(content)
        with pytest.raises(OmniVLError, match=message):
            WordTokenizer(file).encode('a', 4)


class Reader(AnnotationReader):
    """Gives records as they are."""

    modality = 'video'

    def __init__(self, records):
        super().__init__('', '')
        self.records = records

    def read(self):
        yield from self.records


def dataset(records, **options):
    """Items as they come out of the dataset, without a pipeline."""
    return CandidateDataset(Reader(records), [], 'clips', **options)


def test_a_moment_is_drawn_anew_in_each_epoch_and_lies_in_its_part():
    records = [
        Record('a_0', 'a.mp4', ['stir', 'the pan'], clip=(2.0, 12.0)),
        Record('a_1', 'a.mp4', ['stir'], clip=(5.0, 7.0)),
        Record('b', 'b.mp4'),
    ]
    made = dataset(records, seconds=3.0, file_seconds=10.0)
    items = [[made._load(index, epoch) for epoch in range(4)] for index in range(3)]
    clips = [[item['clip'] for item in row] for row in items]
    assert len(set(clips[0])) == 4 and all(a >= 2 and b <= 12 and b - a == pytest.approx(3) for a, b in clips[0])
    assert set(clips[1]) == {(5.0, 7.0)}  # shorter than a moment
    assert all(a >= 0 and b <= 10 and b - a == pytest.approx(3) for a, b in clips[2])
    assert [row[0]['captions'] for row in items] == [['stir', 'the pan'], ['stir'], []]
    assert made._load(0, 1)['clip'] == clips[0][1]
    assert dataset(records)._load(0, 0)['clip'] == (2.0, 12.0) and dataset(records)._load(2, 0)['clip'] is None
    with pytest.raises(OmniVLError, match='seconds must be above 0'):
        dataset(records, seconds=0.0)


def collated(*texts):
    samples = []
    for row in texts:
        sample = VLDataSample(metainfo=dict(sample_id=str(len(samples)), source='clips'))
        if row is not None:
            sample.caption_ids = [np.array(ids, dtype=np.int64) for ids in row]
        samples.append(sample)
    return dict(inputs={'video': torch.zeros(len(texts), 1, 3, 4, 4, dtype=torch.uint8)}, data_samples=samples)


def test_candidates_lie_one_after_the_other():
    preprocessor = CandidatePreprocessor(num_texts=2)
    batch = preprocessor(collated([[4, 5], [6], [7]], None, [[5, 5, 5]]), training=True)['batch']
    assert batch.text_ids.tolist() == [[4, 5, 0], [6, 0, 0], [0, 0, 0], [0, 0, 0], [5, 5, 5], [0, 0, 0]]
    assert batch.text_mask.sum(1).tolist() == [2, 1, 0, 0, 3, 0]
    assert preprocessor(collated([[4]]), training=False)['batch'].text_ids is None
    none = preprocessor(collated(None, None), training=True)['batch']
    assert none.text_ids.shape == (4, 1) and not none.text_mask.any()
