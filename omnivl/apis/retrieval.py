"""Searching in galleries of visuals or texts."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log

from omnivl.errors import OmniVLValueError
from omnivl.evaluation import RetrievalEvaluation
from omnivl.evaluation.functional import top_indices
from omnivl.evaluation.reranking import combine
from omnivl.models.interfaces import Contrasts, serving

from .base import Answer, BatchRunner
from .gallery import Gallery, file_states, is_index, model_checksum
from .inputs import Visual, all_texts, is_folder, list_folder, read_visuals
from .search import first_logits, results


class GallerySearcher(BatchRunner):
    """The part of an inferencer that searches; for the arguments see ``OmniVLInferencer``."""

    @cached_property
    def checksum(self) -> str:
        """Checksum of the model and its preprocessing, see ``model_checksum``."""
        return model_checksum(self.model, self.preparation)

    @torch.no_grad()
    def build_gallery(self, gallery: Any, modality: str | None = None) -> Gallery:
        """Encode what is to be searched.

        Args:
            gallery: Visuals (see ``OmniVLInferencer``), or a list of texts; its strings by the rule of ``features``.
            modality: See ``caption``.

        Returns:
            The gallery; ``save(folder)`` writes it as an index.

        Raises:
            OmniVLValueError: Nothing of it can be used.
        """
        if isinstance(gallery, list | tuple) and all_texts(gallery):
            cleaned, ids = self.texts(gallery)
            return Gallery('text', self.text_features(ids), cleaned, self.checksum)
        visuals, _ = read_visuals(gallery, modality)
        parts = gallery if isinstance(gallery, list | tuple) else [gallery]
        folders = {str(part): len(list_folder(part)) for part in parts if is_folder(part)}
        rows = self.run(visuals, self.project, 'gallery')
        errors = [dict(input=row['input'], error=row['error']) for row in rows if 'error' in row]
        if len(errors) == len(rows):
            raise OmniVLValueError(f'nothing in the gallery can be used; {errors[0]["input"]}: {errors[0]["error"]}')
        if errors:
            print_log(f'{len(errors)} of {len(rows)} items of the gallery are left out', 'current')
        kept = [visual for visual, row in zip(visuals, rows) if 'error' not in row]
        features = np.stack([row['feature'] for row in rows if 'error' not in row])
        names = [visual.name for visual in kept]
        return Gallery('visual', features, names, self.checksum, kept, file_states(kept), folders, errors)

    def load_gallery(self, folder: str | Path) -> Gallery:
        """Read an index that ``Gallery.save`` wrote.

        A folder that is no index is an ``OmniVLFileNotFoundError``; an index that was made with another model, or of
        files that have changed, a ``StaleIndexError``.
        """
        gallery = Gallery.load(folder)
        gallery.check(self.checksum)
        return gallery

    @torch.no_grad()
    def retrieve(
        self, query: Any, gallery: Any, k: int = 5, rerank: int | None = None, modality: str | None = None
    ) -> Answer | list[Answer]:
        """Find the texts or visuals of a gallery that are nearest to a query.

        Args:
            query: A text or a visual, or a list or folder of one kind; strings by the rule of ``features``.
            gallery: Visuals (see ``OmniVLInferencer``), a list of texts, a ``Gallery``, or the folder of a saved one.
            k: Results per query.
            rerank: Number of first results that the alignment decoder puts in a new order, as the retrieval evaluation
                of the config does (``rerank_with``); only between texts and visuals. None = by similarity alone.
            modality: Of the visuals of ``query`` and ``gallery``, see ``caption``.

        Returns:
            The query (``text``, or ``input`` and ``modality``) and ``results``, best first: ``input`` or ``text``,
            ``score`` (that of the re-ranking where there was one) and ``similarity`` (cosine); and, where there are
            some, ``left_out``: what of the gallery could not be used, with its errors.
        """
        if k < 1 or (rerank is not None and rerank < 1):
            raise OmniVLValueError(
                f'k must be at least 1, and rerank at least 1 or None; got k={k} and rerank={rerank}'
            )
        of_texts = all_texts(query)
        if is_index(gallery):
            gallery = self.load_gallery(gallery)
        elif not isinstance(gallery, Gallery):
            gallery = self.build_gallery(gallery, modality)
        gallery.check_model(self.checksum)
        if rerank is not None and of_texts == (gallery.kind == 'text'):
            raise OmniVLValueError('rerank scores pairs of a text and a visual, but query and gallery are of one kind')
        if of_texts:
            single = isinstance(query, str)
            rows, ids = self._text_rows(query)
            asked: list[Visual] = []
        else:
            visuals, single = read_visuals(query, modality)
            rows, ids = self.run(visuals, self.project, 'queries'), []
            asked = [visual for visual, row in zip(visuals, rows) if 'error' not in row]
        usable = [row for row in rows if 'error' not in row]
        if usable:
            features = np.stack([row.pop('feature') for row in usable])
            for row, found in zip(usable, self._search(features, asked, ids, gallery, k, rerank)):
                row['results'] = found
        for row in rows if gallery.errors else []:
            row['left_out'] = gallery.errors
        return rows[0] if single else rows

    def _search(
        self,
        features: np.ndarray,
        asked: Sequence[Visual],
        ids: Sequence[np.ndarray],
        gallery: Gallery,
        k: int,
        rerank: int | None,
    ) -> list[list[Answer]]:
        """Search by unit vectors (Q, E) of queries: the visuals ``asked``, or texts with word pieces ``ids``."""
        similarity = features @ gallery.features.T
        top = top_indices(similarity, max(k, rerank or 0))
        similarity = np.take_along_axis(similarity, top, axis=1)
        scores = None
        if rerank is not None:
            texts = ids or self.preparation.texts(gallery.names)[1]
            numbers = np.unique(top[:, :rerank]).tolist() if ids else range(len(asked))
            visuals = [gallery.visuals[number] for number in numbers] if ids else asked
            tokens = dict(zip(numbers, self._tokens(visuals)))
            protocol = self.loaded.evaluation(RetrievalEvaluation) or RetrievalEvaluation()
            temperature = serving(self.model, Contrasts, 'retrieve').temperature_value()
            logits = first_logits(self.model, tokens, texts, top[:, :rerank], queries_are_texts=bool(ids))
            scores = combine(logits, similarity[:, :rerank], protocol.rerank_with, temperature)
        return results(gallery.names, 'text' if gallery.kind == 'text' else 'input', top, similarity, scores, k)

    def _tokens(self, visuals: Sequence[Visual]) -> list[torch.Tensor]:
        """Encode again what has been encoded before: its visual tokens, float (S, D) each."""
        rows = self.run(visuals, self.keep_tokens, 're-ranking')
        broken = [row for row in rows if 'error' in row]
        if broken:
            raise OmniVLValueError(
                f'{broken[0]["input"]} cannot be read again for the re-ranking: {broken[0]["error"]} (a saved index '
                'does not hold what was in memory)'
            )
        return [row['tokens'] for row in rows]

    def _text_rows(self, texts: str | Sequence[str]) -> tuple[list[Answer], list[np.ndarray]]:
        """Return ``text`` and ``feature`` of each text, and the word pieces."""
        cleaned, ids = self.texts(texts)
        return [dict(text=text, feature=feature) for text, feature in zip(cleaned, self.text_features(ids))], ids
