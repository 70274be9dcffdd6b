"""The train loop: batches of one task at a time, in one schedule that is the same on every rank."""

import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from mmengine.dist import all_reduce, barrier, get_rank, get_world_size
from mmengine.runner import BaseLoop, Runner
from torch import Tensor, nn

from omnivl.datasets.guard import QUARANTINE
from omnivl.errors import OmniVLRuntimeError, OmniVLValueError
from omnivl.models.interfaces import Trains, offered_by
from omnivl.registry import LOOPS
from omnivl.storage.checkpoint import find_checkpoints

from .distributed import unwrapped
from .optim import batches_per_update
from .schedule import Schedule
from .signals import RESTART_CODE, StopRequest
from .streams import Batch, LoaderGroup, build_streams, split_losses

# How far the hooks of an iteration have come when a checkpoint is written inside them; what is left runs on resume.
ITERATION, EPOCH, DONE = 'iteration', 'epoch', 'done'
SLURM_FAREWELL = 5.0  # seconds that the first rank leaves after the others


@LOOPS.register_module()
class AlternatingTrainLoop(BaseLoop):
    """Alternates between named tasks: each has a loader of its own, and may have losses of its own.

    Two tasks may be on the same modality, with different pipelines, batch sizes and losses. Iterations are the unit of
    everything, and an iteration is an update: with ``accumulative_counts`` of the optimizer wrapper it takes so many
    batches of one task. An epoch is one pass over the loader of the task ``epoch_by``, at whose end the hooks of
    MMEngine (``after_train_epoch``) are called, so that schedulers by epoch step there.

    Args:
        runner: The runner.
        dataloader: Task -> config of its loader, e.g. ``dict(image=dict(...), video=dict(...))``; with a key
            ``losses``, such as ``('univlc', 'vlm')``, the task computes only these of the model's. See also
            ``build_streams``.
        max_iters: Length of the run in iterations. Give exactly one of ``max_iters``, ``max_epochs`` and ``phases``.
        max_epochs: Length of the run in epochs of ``epoch_by``.
        epoch_by: Task that epochs are counted on; by default the first.
        proportions: Task -> share of the updates; ``None`` means equal shares, ``'size'`` as many as each loader has,
            so that all tasks end their epochs together.
        phases: Runs with other proportions one after the other: ``[dict(iters=1000, proportions=dict(image=1)),
            dict(iters=500, proportions=dict(image=1, video=1))]``.
        seed: Seed of the alternation; by default the seed of the run.
        val_begin: First iteration (epoch, if the run is counted in epochs) with a validation.
        val_interval: Iterations (epochs) between validations; ``None`` validates at the end only.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: Mapping[str, Any],
        max_iters: int | None = None,
        max_epochs: int | None = None,
        epoch_by: str | None = None,
        proportions: Mapping[str, float] | str | None = None,
        phases: Sequence[Mapping[str, Any]] | None = None,
        seed: int | None = None,
        val_begin: int = 1,
        val_interval: int | None = None,
    ) -> None:
        loaders, self.losses = split_losses(dataloader)
        self._check_losses(unwrapped(runner.model))
        self.streams = build_streams(loaders, runner.seed, Path(runner.work_dir) / QUARANTINE)
        self.seed = runner.seed if seed is None else seed
        self.batches_per_update = batches_per_update(runner.optim_wrapper)
        self.epoch_by = next(iter(self.streams)) if epoch_by is None else epoch_by
        self._check_name('epoch_by', self.epoch_by)
        self.schedule = Schedule(self._phases(max_iters, max_epochs, phases, proportions), self.seed)
        self._by_epoch = max_epochs is not None
        self._max_iters, self._max_epochs = self._run_length(max_epochs)
        super().__init__(runner, LoaderGroup(self.streams, self._epoch_iterations()))
        self.val_begin = val_begin
        self.val_interval = val_interval or (self._max_epochs if self._by_epoch else self._max_iters)
        self.stop_training = False  # set by MMEngine's EarlyStoppingHook
        self.asked = StopRequest()  # to this rank, by a signal
        self.leaving = False  # as all ranks have agreed; what saves does so at the end of the update
        self.task = self.epoch_by  # of the current update
        self.batches: list[Batch] = []  # of the current update
        self.outputs: list[dict[str, float]] = []  # what each of them gave, averaged over all ranks
        self.waited = 0.0  # seconds that they kept the model waiting
        self.counts: dict[str, int] = {}  # of them all, over all ranks
        self._iter = 0  # of the current iteration, as hooks see it
        self._epoch = 0
        self._completed = 0  # iterations that are done
        self._stage = DONE

    @property
    def iter(self) -> int:
        """Number of the current iteration, from 0."""
        return self._iter

    @property
    def epoch(self) -> int:
        """Number of completed epochs of ``epoch_by``."""
        return self._epoch

    @property
    def max_iters(self) -> int:
        """Length of the run in iterations."""
        return self._max_iters

    @property
    def max_epochs(self) -> int:
        """Length of the run in epochs of ``epoch_by``, rounded up."""
        return self._max_epochs

    def run(self) -> nn.Module:
        """Train the model and return it."""
        with self.asked.listen():
            try:
                self.runner.call_hook('before_train')
                self.runner.call_hook('before_train_epoch')
                self.runner.restore_random_state()
                self._finish_iteration()  # what a resumed run still owes to the iteration it was saved in
                while self._iter < self._max_iters and not self.stop_training:
                    self._run_iteration()
                    if self.leaving:
                        self._leave()
                    self._finish_iteration()
                self.runner.call_hook('after_train')
            finally:
                for stream in self.streams.values():
                    stream.close()
        return self.runner.model

    def state_dict(self) -> dict[str, Any]:
        """Write down the place after the last completed iteration: iteration, epoch, position in every stream."""
        return dict(
            iteration=self._completed,
            epoch=self._epoch,
            stage=self._stage,
            streams={name: stream.state_dict() for name, stream in self.streams.items()},
        )

    def load_state_dict(self, state: Mapping[str, Any]) -> list[str]:
        """Go on from a place that :meth:`state_dict` wrote down, with the same names of tasks.

        Returns warnings about what makes the run differ from an unbroken one.
        """
        if set(state['streams']) != set(self.streams):
            raise OmniVLValueError(
                f'the checkpoint was written by a run with the tasks {sorted(state["streams"])}, train_dataloader '
                f'now has {sorted(self.streams)}: resume with the config of that run, or start a new stage from its '
                'weights with load_from instead of resume'
            )
        self._iter = self._completed = state['iteration']
        self._epoch, self._stage = state['epoch'], state['stage']
        warnings = [self.streams[name].load_state_dict(place) for name, place in state['streams'].items()]
        given = self.schedule.counts_before(self._completed)
        if any(
            given.get(name, 0) * self.batches_per_update != stream.batches_given
            for name, stream in self.streams.items()
        ):
            warnings.append('the alternation was changed since; it goes on in its new form')
        return [warning for warning in warnings if warning]

    def _run_iteration(self) -> None:
        self.runner.model.train()
        self.task = self.schedule.name_at(self._iter)
        stream = self.streams[self.task]
        start = time.perf_counter()
        self.batches = []  # those of the update before are not kept while others are loaded
        # All before the first step, so that hooks see the update as they would one large batch.
        self.batches = [
            next(stream) | dict(task=self.task, losses=self.losses[self.task], part=part)
            for part in range(self.batches_per_update)
        ]
        self.waited = time.perf_counter() - start
        self.runner.call_hook('before_train_iter', batch_idx=self._iter, data_batch=self.batches[0])
        wrapper = self.runner.optim_wrapper
        steps = [self.runner.model.train_step(batch, optim_wrapper=wrapper) for batch in self.batches]
        samples = sum(map(count_samples, self.batches))
        counts = dict(samples=samples, stop=self.asked.name is not None) | stream.counts_of(self.batches)
        signature = getattr(self.runner.model, 'signature', 0)  # of a wrapper, see AlternatingDataParallel
        self.outputs, self.counts = combine_ranks(steps, counts | dict(signature=signature))
        if self.counts.pop('signature') != signature * get_world_size():
            raise OmniVLRuntimeError(
                f'iteration {self._iter + 1} ({self.task}) left out other parameters on another rank. What a step uses '
                'must depend on its task alone; else set model_wrapper_cfg=dict(find_unused_parameters=True)'
            )
        stream.samples += self.counts['samples']
        self.leaving = self.leaving or self.counts['stop'] > 0
        self._completed, self._stage = self._iter + 1, ITERATION
        outputs = {key: sum(part[key] for part in self.outputs) / len(self.outputs) for key in self.outputs[0]}
        self.runner.call_hook('after_train_iter', batch_idx=self._iter, data_batch=self.batches[-1], outputs=outputs)
        self._iter += 1

    def _leave(self) -> None:
        """End the program where hooks have saved; an epoch's end and a validation that are due are done on resume."""
        self.runner.writer.wait()
        saved = next(iter(find_checkpoints(self.runner.work_dir)), 'nothing, for want of a checkpoint hook')
        self.runner.logger.warning(
            f'Asked to stop: leaving after iteration {self._iter} of {self._max_iters}; saved: {saved}. '
            'Go on with the same command and --resume'
        )
        for stream in self.streams.values():
            stream.close()
        barrier()  # a launcher ends the others when one has left, and the first rank may still be writing
        # srun --kill-on-bad-exit ends all at the first code that is not 0 and returns the highest, which for the ended
        # ones is that of their signal: there the first rank alone asks for the restart, when the others have gone.
        if self.runner._launcher == 'slurm' and get_world_size() > 1:
            if get_rank() > 0:
                sys.exit(0)
            time.sleep(SLURM_FAREWELL)
        sys.exit(RESTART_CODE)

    def _finish_iteration(self) -> None:
        """End the epoch and validate, where they are due and not yet done."""
        if self._stage == DONE:
            return
        completed = self.streams[self.epoch_by].epochs_completed
        ends_epoch = completed > self._epoch
        while self._epoch < completed:  # an accumulation may take several
            if self._stage == ITERATION:
                self._stage = EPOCH
                self.runner.call_hook('after_train_epoch')
            self._epoch += 1
            self._stage = ITERATION
        self._stage = DONE
        if self.runner.val_loop is not None and self._validation_due(ends_epoch):
            self.runner.val_loop.run()
            self._answer_after_validation()
        if ends_epoch and self._iter < self._max_iters:
            self.runner.call_hook('before_train_epoch')

    def _answer_after_validation(self) -> None:
        """Leave if any rank was asked to in the validation, unless the run has ended anyway."""
        asked = torch.tensor(int(self.asked.name is not None))
        if get_world_size() > 1:
            all_reduce(asked, 'sum')
        if asked and self._iter < self._max_iters:
            self.leaving = True
            self.runner.call_hook('before_leave')
            self._leave()

    def _validation_due(self, ends_epoch: bool) -> bool:
        if self._iter >= self._max_iters:
            return True
        count = self._epoch if self._by_epoch else self._iter
        due = count >= self.val_begin and count % self.val_interval == 0
        return due and (ends_epoch or not self._by_epoch)

    def _phases(
        self,
        max_iters: int | None,
        max_epochs: int | None,
        phases: Sequence[Mapping[str, Any]] | None,
        proportions: Mapping[str, float] | str | None,
    ) -> list[tuple[int | None, dict[str, float]]]:
        """Return steps and shares of each phase; a run counted in epochs is one phase without end."""
        if sum(option is not None for option in (max_iters, max_epochs, phases)) != 1:
            raise OmniVLValueError(
                'train_cfg needs exactly one of max_iters, max_epochs and phases; got '
                f'max_iters={max_iters}, max_epochs={max_epochs}, phases={phases}'
            )
        if phases is None:
            return [(None if max_iters is None else int(max_iters), self._shares(proportions))]
        if proportions is not None:
            raise OmniVLValueError('train_cfg: with phases, give the proportions inside each phase')
        for phase in phases:
            if not phase.get('iters') or not set(phase) <= {'iters', 'proportions'}:
                raise OmniVLValueError(
                    f'train_cfg.phases: each phase is dict(iters=..., proportions=...); got {dict(phase)}'
                )
        return [(int(phase['iters']), self._shares(phase.get('proportions'))) for phase in phases]

    def _run_length(self, max_epochs: int | None) -> tuple[int, int]:
        """Return the length of the run in iterations and in epochs."""
        if max_epochs is not None:
            updates = self._updates(int(max_epochs) * self._length_of(self.epoch_by, 'max_epochs'))
            return self.schedule.run_length(self.epoch_by, updates), int(max_epochs)
        assert self.schedule.steps is not None
        updates = self.schedule.counts_before(self.schedule.steps).get(self.epoch_by, 0)
        length = self.streams[self.epoch_by].length
        return self.schedule.steps, 1 if length is None else math.ceil(updates * self.batches_per_update / length)

    def _updates(self, batches: int) -> int:
        """Return the updates that take all of some batches."""
        return math.ceil(batches / self.batches_per_update)

    def _shares(self, proportions: Mapping[str, float] | str | None) -> dict[str, float]:
        if proportions is None:
            return dict.fromkeys(self.streams, 1)
        if isinstance(proportions, str):
            if proportions != 'size':
                raise OmniVLValueError(f"train_cfg.proportions is {proportions!r}; allowed: 'size' or a dict of shares")
            return {name: self._length_of(name, 'proportions') for name in self.streams}
        for name, share in proportions.items():
            self._check_name('proportions', name)
            if not share >= 0:
                raise OmniVLValueError(f'train_cfg.proportions.{name} is {share}; a share is at least 0')
        shares = {name: share for name, share in proportions.items() if share > 0}
        if not shares:
            raise OmniVLValueError(f'train_cfg.proportions is {dict(proportions)}; one share must be above 0')
        return shares

    def _check_losses(self, model: nn.Module) -> None:
        trains = offered_by(model, Trains)
        known = () if trains is None else trains.loss_names
        for task, names in self.losses.items():
            unknown = set(names or ()) - set(known)
            if unknown:
                raise OmniVLValueError(
                    f'train_dataloader.{task}.losses names {", ".join(map(repr, sorted(unknown)))}; '
                    f'{type(model).__name__} has {", ".join(known) or "no losses with names"}'
                )

    def _check_name(self, option: str, name: str) -> None:
        if name not in self.streams:
            raise OmniVLValueError(f'train_cfg.{option} names {name!r}; train_dataloader has {sorted(self.streams)}')

    def _length_of(self, name: str, option: str) -> int:
        length = self.streams[name].length
        if length is None:
            raise OmniVLValueError(
                f'train_cfg.{option} counts epochs of {name!r}, which is a stream without a length: give max_iters and '
                'a dict of proportions instead'
            )
        return length

    def _epoch_iterations(self) -> int:
        """Return the iterations of the first epoch, for schedulers that convert epochs to iterations."""
        length = self.streams[self.epoch_by].length
        if length is None:
            return self._max_iters
        try:
            return self.schedule.step_after(self.epoch_by, self._updates(length))
        except ValueError:  # a run without any batch, or without a whole epoch, of this task
            return self._max_iters


def tasks_of(runner: Runner) -> AlternatingTrainLoop:
    """Return the train loop of a runner, for what asks after its tasks."""
    return cast(AlternatingTrainLoop, runner.train_loop)


def count_samples(batch: Any) -> int:
    """Return the number of samples in a collated batch of this rank."""
    return len(batch['data_samples'] if 'data_samples' in batch else batch['inputs'])


def combine_ranks(
    steps: Sequence[Mapping[str, Tensor | float]], counts: Mapping[str, int]
) -> tuple[list[dict[str, float]], dict[str, int]]:
    """Average what steps log over the ranks, and add up what each counted, so that both speak of the whole batch.

    The names in ``steps`` and ``counts`` are the same on every rank; these two are all that an update exchanges beside
    gradients and features, so whatever all ranks must agree on in it is one more count.
    """
    tensors = [torch.as_tensor(value).detach() for step in steps for value in step.values()]
    device = next((tensor.device for tensor in tensors if tensor.device.type != 'cpu'), torch.device('cpu'))
    values = torch.stack([tensor.to(device, torch.float32).reshape(()) for tensor in tensors])
    sums = torch.tensor(list(counts.values()), device=device)
    if get_world_size() > 1:
        all_reduce(values, 'mean')
        all_reduce(sums, 'sum')
    found = iter(values.tolist())
    return [{name: next(found) for name in step} for step in steps], dict(zip(counts, sums.tolist()))
