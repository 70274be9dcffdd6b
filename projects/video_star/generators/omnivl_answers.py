"""OmniVL's question answering as the generator: the question is the prompt, the answer decoder writes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import barrier, is_distributed, is_main_process

from omnivl.apis.loading import LoadedModel, load_model
from omnivl.datasets.annotations import Record
from omnivl.datasets.annotations.record_list import write_records
from omnivl.datasets.collate import collate_samples
from omnivl.datasets.errors import BrokenVisualError
from omnivl.engine import read_config
from omnivl.engine.command_line import build_runner
from omnivl.errors import OmniVLValueError
from omnivl.models.decoders.generation import packed_decoders
from omnivl.models.interfaces import Answers, serving
from omnivl.storage.checkpoint import find_checkpoints
from omnivl.structures import VIDEO

from ..registry import GENERATORS
from .base import Prompt, Said, Sample

NO_VALIDATION = {'val_cfg': None, 'val_dataloader': None, 'val_evaluator': None}


@GENERATORS.register_module()
class OmniVLAnswers:
    """A model that answers questions (``OmniVLQA``, or another that offers ``Answers``), and the config that tunes it.

    Args:
        config: Path of the config of the finetuning, which has one loader of questions about videos. Its data is
            replaced by the samples, its ``load_from`` by the pretrained weights.
        weights: The pretrained weights: a checkpoint, or a work directory, whose last one is taken.
        batch_size: Prompts that are answered together.
        sampling: Options of ``nucleus``: temperature and so on.
        max_length: Most word pieces of an answer.
        changes: What else is changed in the config, as ``--cfg-options``.
        epochs: Passes over the samples; None = ``steps``.
        steps: Of the finetuning; None = as many as the config says.
    """

    def __init__(
        self,
        config: str,
        weights: str,
        batch_size: int = 32,
        sampling: Mapping[str, Any] | None = None,
        max_length: int = 32,
        changes: Mapping[str, Any] | None = None,
        epochs: float | None = None,
        steps: int | None = None,
    ) -> None:
        self.config = config
        self.weights = weights
        self.batch_size = batch_size
        self.sampling = dict(dict(temperature=0.2) if sampling is None else sampling)
        self.max_length = max_length
        self.changes = dict(changes or {})
        self.epochs = epochs
        self.steps = steps
        self.loaded: LoadedModel | None = None

    def load(self, weights: str | None) -> None:
        """Build the model with weights."""
        cfg = read_config(self.config, options=self.changes)
        self.loaded = load_model(cfg, weights or self.weights, None)

    @torch.no_grad()
    def answer(self, prompts: Sequence[Prompt]) -> list[Said]:
        """Answer prompts, together those that are drawn and those that are not."""
        said = [Said('') for _ in prompts]
        ready = []
        for place, prompt in enumerate(prompts):
            try:
                ready.append((place, self._prepare(prompt)))
            except BrokenVisualError as error:
                said[place] = Said('', error.reason)
        for is_drawn in (True, False):
            group = [(place, item) for place, item in ready if (prompts[place].seed is not None) == is_drawn]
            if group:
                texts = self._write([item for _, item in group], [prompts[place].seed for place, _ in group])
                for (place, _), text in zip(group, texts):
                    said[place] = Said(text)
        return said

    def _prepare(self, prompt: Prompt) -> dict[str, Any]:
        """Run the test pipeline of the config on one prompt."""
        assert self.loaded is not None  # the cycle loads before it asks
        results: dict[str, Any] = dict(
            visual=prompt.video,
            modality=VIDEO.name,
            clip=prompt.clip,
            sample_id=prompt.video,
            source='video_star',
            question=prompt.text,
            rng=np.random.default_rng(0),
        )
        for step in self.loaded.pipelines[VIDEO.name]:
            results = step(results)
        return results

    def _write(self, items: Sequence[dict[str, Any]], seeds: Sequence[int | None]) -> list[str]:
        assert self.loaded is not None
        model = self.loaded.model
        answers = serving(model, Answers, 'Video-STaR')
        batch = model.data_preprocessor(collate_samples(items), False)['batch']
        method, options = 'greedy', {}
        if seeds[0] is not None:
            device = batch.frames.device
            method, options = 'nucleus', dict(self.sampling)
            options['generator'] = [torch.Generator(device).manual_seed(seed) for seed in seeds]
        with packed_decoders(model):
            written = answers.generate_answers(batch, method, max_length=self.max_length, **options)
        return [text for text, _ in written]

    def finetune(self, samples: Sequence[Sample], folder: Path, seed: int) -> str:
        """Run the finetuning of the config on samples, from the pretrained weights."""
        cfg = read_config(self.config, options={**self.changes, **NO_VALIDATION})
        loaders = list((cfg.get('train_dataloader') or {}).values())
        if len(loaders) != 1 or 'annotations' not in loaders[0].get('dataset', {}):
            raise OmniVLValueError(
                f'{self.config}: train_dataloader must be one loader of one QADataset about videos, whose annotations '
                'the samples replace'
            )
        file = folder / 'samples.jsonl'
        if is_main_process():
            records = (
                Record(id=one.id, visual=str(Path(one.video).absolute()), clip=one.clip, question=one.question,
                       answers=[one.answer])
                for one in samples
            )  # fmt: skip
            write_records(file, ((VIDEO.name, record) for record in records))
        barrier()
        loaders[0].dataset.annotations = dict(
            type='RecordList', ann_file=str(file.absolute()), visual_root='', modality=VIDEO.name
        )
        steps = self.steps
        if self.epochs is not None:
            steps = max(1, round(self.epochs * len(samples) / loaders[0].batch_size))
        if steps is not None:
            set_steps(cfg, steps)
        cfg.load_from = last_checkpoint(self.weights)
        cfg.work_dir = str(folder)
        cfg.randomness = dict(seed=seed)
        cfg.launcher = 'pytorch' if is_distributed() else 'none'
        if find_checkpoints(folder):
            cfg.resume = 'auto'
        build_runner(cfg, None).train()
        self.loaded = None
        barrier()  # the first process has saved
        return str(find_checkpoints(folder)[0])


def last_checkpoint(place: str | None) -> str | None:
    """Return the last checkpoint of a work directory; of any other place the place."""
    found = find_checkpoints(place) if place is not None and Path(place).is_dir() else []
    return str(found[0]) if found else place


def set_steps(cfg: Any, steps: int) -> None:
    """Give a config another number of steps; its schedule keeps its shape, but for parts shorter than a step."""
    factor = steps / cfg.train_cfg.max_iters
    cfg.train_cfg.max_iters = steps
    for schedule in cfg.get('param_scheduler') or ():
        for name in ('begin', 'end', 'T_max'):
            if isinstance(schedule.get(name), int):
                schedule[name] = round(schedule[name] * factor)
    parts = cfg.get('param_scheduler') or ()
    cfg.param_scheduler = [part for part in parts if part.get('begin', 0) < part.get('end', float('inf'))]
