"""Tables of captions and addresses without a header: CC3M, CC12M, SBU."""

import zlib
from collections.abc import Iterator, Sequence

from typing_extensions import Unpack

from omnivl.errors import OmniVLValueError
from omnivl.registry import ANNOTATIONS

from .base import AnnotationReader, ReaderOptions, Record
from .files import iter_delimited

# The published column orders. None of these files has a header.
COLUMNS = {
    'cc3m': ('caption', 'url'),
    'cc12m': ('url', 'caption'),
    'sbu': ('url', 'caption'),
}
_KNOWN = ('caption', 'url', 'path', '_')
# img2dataset starts a new folder after this many rows and names a file after its row.
_ROWS_PER_SHARD = 10000


@ANNOTATIONS.register_module()
class CaptionTSV(AnnotationReader):
    """Read one caption per line; the image is found through a path column or through a template.

    The published files hold addresses, not paths. Where the downloaded images lie is said by ``path_template``; its
    placeholders are ``row`` (from 0, without the header), ``shard`` (``row // 10000``) and ``url_crc32``. The default
    is the layout of img2dataset's ``files`` format (``00000/000000123.jpg``); images named after their address are
    ``'{url_crc32}.jpg'``. Images that could not be downloaded are missing files: see ``broken`` and ``bad_files`` of
    the dataset.

    Args:
        ann_file: The table.
        visual_root: Folder that the paths are relative to.
        columns: ``'cc3m'`` (caption, url), ``'cc12m'`` or ``'sbu'`` (url, caption), ``'header'`` (the first row names
            them), or the column names in order, out of ``caption``, ``url``, ``path`` and ``_`` (not used).
        skip_header: Whether the first row is a header to pass over, as ``columns`` says what it says.
        delimiter: One character between the fields.
        **options: See AnnotationReader; ``path_template`` counts when there is no ``path`` column.
    """

    path_template = '{shard:05d}/{row:09d}.jpg'
    placeholders = dict(row=0, shard=0, url_crc32=0)

    def __init__(
        self,
        ann_file: str,
        visual_root: str,
        columns: str | Sequence[str] = 'cc3m',
        skip_header: bool = False,
        delimiter: str = '\t',
        **options: Unpack[ReaderOptions],
    ) -> None:
        super().__init__(ann_file, visual_root, **options)
        self.columns: tuple[str, ...] | None = None
        if columns != 'header':
            if isinstance(columns, str) and columns not in COLUMNS:
                raise OmniVLValueError(
                    f"CaptionTSV: columns={columns!r}; allowed are {sorted(COLUMNS)}, 'header' or a list of {_KNOWN}"
                )
            self.columns = COLUMNS[columns] if isinstance(columns, str) else tuple(columns)
            unknown = [name for name in self.columns if name not in _KNOWN]
            if unknown or 'caption' not in self.columns:
                raise OmniVLValueError(
                    f"CaptionTSV: columns={list(self.columns)}; 'caption' must be there, beside others of {_KNOWN}"
                )
        self.skip_header = skip_header
        self.delimiter = delimiter

    def read(self) -> Iterator[Record]:
        """Yield the records, row after row."""
        columns = self.columns
        rows = iter_delimited(self.ann_file, self.delimiter)
        if columns is None or self.skip_header:
            line, fields = next(rows, (1, []))
            columns = columns or tuple(name.strip() for name in fields)
            if 'caption' not in columns:
                raise self.error(f'line {line}', 'caption', f'the column is missing; the header has {list(columns)}')
        for row, (line, fields) in enumerate(rows):
            # Rows count from 0 and without the header, as img2dataset names its files; lines from 1 and with it.
            place = f'line {line}'
            if len(fields) != len(columns):
                raise self.error(place, None, f'{len(fields)} fields, expected {len(columns)}: {list(columns)}')
            values = dict(zip(columns, fields))
            texts = self.captions([values['caption']], place, 'caption')
            if texts:
                relative = self._relative_path(values, row, place)
                yield Record(id=relative, visual=self.path(relative), text=texts)

    def _relative_path(self, values: dict[str, str], row: int, place: str) -> str:
        if 'path' in values:
            if not values['path']:
                raise self.error(place, 'path', 'the path is empty')
            return values['path']
        if 'url_crc32' in self.path_template and 'url' not in values:
            raise self.error(place, 'url', f'path_template={self.path_template!r} needs the column')
        crc = zlib.crc32(values.get('url', '').encode())
        return self.fill_template(row=row, shard=row // _ROWS_PER_SHARD, url_crc32=crc)
