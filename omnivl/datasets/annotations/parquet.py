"""The tables that img2dataset and video2dataset leave beside what they have fetched (``--output_format files``)."""

import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from omnivl.errors import OmniVLImportError
from omnivl.registry import ANNOTATIONS
from omnivl.structures import IMAGE, check_modality

from ..errors import AnnotationError
from .base import AnnotationReader, ReaderOptions, Record

FETCHED = 'success'


@ANNOTATIONS.register_module()
class FetchedParquet(AnnotationReader):
    """Read ``00000.parquet, 00001.parquet, ...``, each beside the folder ``00000`` of its files; needs ``pyarrow``.

    One record per row that was fetched (``status``), so nothing is missing. Shards (``--output_format webdataset``) are
    read by ShardIndex.

    Args:
        visual_root: The folder of the tables.
        caption_field: Column of the caption.
        modality: What the visuals are; videos want ``path_template='{shard}/{key}.mp4'``.
        **options: See AnnotationReader; ``path_template`` has the placeholders ``shard`` and ``key``.
    """

    path_template = '{shard}/{key}.jpg'
    placeholders = dict(shard='', key='')

    def __init__(
        self,
        visual_root: str,
        caption_field: str = 'caption',
        modality: str = IMAGE.name,
        **options: Unpack[ReaderOptions],
    ) -> None:
        super().__init__('', visual_root, **options)
        self.caption_field = caption_field
        self.modality = check_modality(modality, type(self).__name__)

    def read(self) -> Iterator[Record]:
        """Yield the records, table after table."""
        tables = sorted(Path(self.visual_root).glob('*.parquet'))
        if not tables:
            raise self.error(None, None, 'holds no .parquet files, as img2dataset writes them')
        for table in tables:
            for row, values in enumerate(self._rows(table)):
                if values['status'] == FETCHED:
                    place = f'{table.name}, row {row}'
                    texts = self.captions([values[self.caption_field] or ''], place, self.caption_field)
                    relative = self.fill_template(shard=table.stem, key=str(values['key']))
                    if texts:
                        yield Record(id=relative, visual=self.path(relative), text=texts)

    def _rows(self, table: Path) -> Iterator[dict[str, Any]]:
        try:
            parquet = importlib.import_module('pyarrow.parquet')
        except ImportError as error:
            raise OmniVLImportError("FetchedParquet needs pyarrow: pip install 'omnivl[parquet]'") from error
        columns = ['key', 'status', self.caption_field]
        try:
            file = parquet.ParquetFile(table)
            missing = sorted(set(columns) - set(file.schema_arrow.names))
            if missing:
                raise AnnotationError(
                    os.fspath(table), None, missing[0], f'no such column; it has {file.schema_arrow.names}'
                )
            for batch in file.iter_batches(columns=columns):
                yield from batch.to_pylist()
        except (OSError, ValueError) as error:  # what pyarrow raises of a damaged file
            if isinstance(error, AnnotationError):
                raise
            raise AnnotationError(os.fspath(table), None, None, f'cannot be read: {error}') from error
