"""WebVid: results_2M_train.csv, results_10M_train.csv."""

from collections.abc import Iterator

from omnivl.registry import ANNOTATIONS
from omnivl.structures import VIDEO

from .base import AnnotationReader, Record
from .files import iter_table

_REQUIRED = ('videoid', 'page_dir', 'name')


@ANNOTATIONS.register_module()
class WebVidCSV(AnnotationReader):
    """Read ``videoid, contentUrl, duration, page_dir, name``; the name is the caption.

    For the arguments see AnnotationReader; ``path_template`` has the placeholders ``page_dir`` and ``videoid``.
    """

    modality = VIDEO.name
    path_template = '{page_dir}/{videoid}.mp4'
    placeholders = dict(page_dir='', videoid='')

    def read(self) -> Iterator[Record]:
        """Yield the records, row after row."""
        for line, row in iter_table(self.ann_file, ',', _REQUIRED):
            place = f'line {line}'
            if not row['videoid']:
                raise self.error(place, 'videoid', 'the field is empty')
            texts = self.captions([row['name']], place, 'name')
            if texts:
                relative = self.fill_template(page_dir=row['page_dir'], videoid=row['videoid'])
                yield Record(id=row['videoid'], visual=self.path(relative), text=texts)
