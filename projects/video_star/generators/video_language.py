"""Video language models of transformers with the interface of the LLaVA family as the generator.

``VideoLlavaForConditionalGeneration``, ``LlavaNextVideo...``, ``LlavaOnevision...``, ``Qwen2VL...``: whatever takes a
text with a place for a video and the frames of that video. Tuned as a whole, or by LoRA (peft).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.dist import barrier, get_local_rank, get_rank, get_world_size, is_distributed, is_main_process
from mmengine.logging import print_log
from torch import nn

from omnivl.datasets.errors import BrokenVisualError
from omnivl.datasets.transforms import LoadVideo
from omnivl.errors import OmniVLFileNotFoundError, OmniVLImportError, OmniVLValueError
from omnivl.storage.files import atomic_write
from omnivl.structures import VIDEO

from ..registry import GENERATORS
from .base import Prompt, Said, Sample

IGNORED = -100
# Where there is no chat template: that of Vicuna, which Video-LLaVA has.
PLAIN = 'USER: <video>\n{prompt} ASSISTANT:'
STATE = 'training.pt'


@GENERATORS.register_module()
class VideoLanguageModel:
    """A model of transformers.

    Args:
        model: A local folder, or a name on the hub.
        architecture: Class of transformers; None = the one that its config names.
        num_frames: Frames of a clip (8 in Video-STaR).
        batch_size: Prompts that are written down together; each is answered by itself.
        temperature: Of the draws (0.2 in Video-STaR).
        top_p: Share of the probability that is drawn from.
        max_new_tokens: Most tokens of an answer (1024 in Video-STaR).
        dtype: Of the weights, as transformers takes it. Where all are tuned they are float32 meanwhile, as small steps
            would be lost in bfloat16.
        device: Where the model runs; None = a GPU for each process if there is one.
        lora: Options of peft's ``LoraConfig``; None = all weights are tuned.
        train: Options of the training: ``lr, epochs, batch_size, warmup, weight_decay, save_every,
            recompute``.
    """

    def __init__(
        self,
        model: str,
        architecture: str | None = None,
        num_frames: int = 8,
        batch_size: int = 8,
        temperature: float = 0.2,
        top_p: float = 1.0,
        max_new_tokens: int = 1024,
        dtype: str = 'auto',
        device: str | None = None,
        lora: Mapping[str, Any] | None = None,
        train: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = model
        self.architecture = architecture
        self.load_video = LoadVideo(num_frames=num_frames)
        self.batch_size = batch_size
        self.sampling = dict(temperature=temperature, top_p=top_p)
        self.max_new_tokens = max_new_tokens
        self.dtype = dtype
        gpu = f'cuda:{get_local_rank()}' if torch.cuda.is_available() else 'cpu'
        self.device = torch.device(device or gpu)
        self.lora = None if lora is None else dict(lora)
        self.training = Training(**dict(train or {}))
        self.model: Any = None
        self.autocast: Any = nullcontext()

    @cached_property
    def processor(self) -> Any:
        """What makes tokens and pixels."""
        import transformers

        return transformers.AutoProcessor.from_pretrained(self.name)

    def load(self, weights: str | None) -> None:
        """Load the model, or its adapter on the pretrained one."""
        self.model = None  # two would not fit
        adapter = weights is not None and (Path(weights) / 'adapter_config.json').is_file()
        self.model = self._pretrained(self.name if weights is None or adapter else weights)
        if adapter:
            self.model = import_peft().PeftModel.from_pretrained(self.model, weights)
        self.model.eval()

    def _pretrained(self, name: str) -> Any:
        import transformers

        try:
            config = transformers.AutoConfig.from_pretrained(name)
        except (OSError, ValueError) as error:
            raise OmniVLFileNotFoundError(
                f'{name} is neither a folder nor a name on the hub of a model of transformers: {error}'
            ) from error
        wanted = self.architecture or (config.architectures or [''])[0]
        if not hasattr(transformers, wanted):
            raise OmniVLValueError(
                f'transformers {transformers.__version__} has no {wanted!r}; set architecture to a video language '
                'model such as VideoLlavaForConditionalGeneration'
            )
        return getattr(transformers, wanted).from_pretrained(name, dtype=self.dtype).to(self.device)

    def answer(self, prompts: Sequence[Prompt]) -> list[Said]:
        """Answer prompts one by one, so that what is drawn depends on no other."""
        said = []
        for prompt in prompts:
            try:
                frames = self._frames(prompt.video, prompt.clip)
            except BrokenVisualError as error:
                said.append(Said('', error.reason))
                continue
            said.append(Said(self._write(prompt, frames)))
        return said

    @torch.no_grad()
    def _write(self, prompt: Prompt, frames: np.ndarray) -> str:
        inputs = self._inputs(self._conversation(prompt.text), frames).to(self.device)
        inputs = self._in_dtype(inputs)
        draws = dict(do_sample=True, **self.sampling) if prompt.seed is not None else dict(do_sample=False)
        devices = [self.device] if self.device.type == 'cuda' else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(prompt.seed or 0)
            ids = self.model.generate(**inputs, **draws, max_new_tokens=self.max_new_tokens)
        new = ids[0, inputs['input_ids'].shape[1] :]
        return self.processor.tokenizer.decode(new, skip_special_tokens=True).strip()

    def _frames(self, video: str, clip: tuple[float, float] | None) -> np.ndarray:
        """Decode a clip, uint8 (T, H, W, 3)."""
        results = dict(visual=video, modality=VIDEO.name, clip=clip, rng=np.random.default_rng(0))
        return self.load_video(results)['frames']

    def _conversation(self, prompt: str) -> str:
        """Put a prompt into the form that the model knows, up to where the answer begins."""
        if getattr(self.processor, 'chat_template', None):
            turn = {'role': 'user', 'content': [{'type': 'video'}, {'type': 'text', 'text': prompt}]}
            return self.processor.apply_chat_template([turn], add_generation_prompt=True)
        return PLAIN.format(prompt=prompt)

    def _inputs(self, text: str, frames: np.ndarray) -> Any:
        return self.processor(text=[text], videos=[frames], return_tensors='pt')

    def _in_dtype(self, inputs: Any) -> Any:
        for name, value in inputs.items():
            if torch.is_tensor(value) and value.is_floating_point():
                inputs[name] = value.to(self.model.dtype)
        return inputs

    def finetune(self, samples: Sequence[Sample], folder: Path, seed: int) -> str:
        """Tune the pretrained model on samples, each process on its share of a batch."""
        self.load(None)
        dtype = self.model.dtype
        self.autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=dtype == torch.bfloat16)
        if self.lora is not None:
            peft = import_peft()
            torch.manual_seed(seed)  # of the adapter
            self.model = peft.get_peft_model(self.model, peft.LoraConfig(task_type='CAUSAL_LM', **self.lora))
        else:
            self.model.float()
        if self.training.recompute:
            self.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=dict(use_reentrant=False))
        weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        run = self.training.start(weights, len(samples))
        folder.mkdir(parents=True, exist_ok=True)
        first = self.training.resume(folder / STATE, run, self.model)
        self.model.train()
        for step, batch in enumerate(self.training.batches(samples, seed)):
            if step < first:
                continue
            torch.manual_seed(seed + 1000 * step + get_rank())  # of dropout; the same if this step is done again
            loss = self._step(batch, weights, run)
            if step % 10 == 0:
                print_log(f'{folder.parent.name}: step {step + 1} of {run.steps}, loss {loss:.4f}', 'current')
            if (step + 1) % self.training.save_every == 0 and is_main_process():
                self.training.save(folder / STATE, run, self.model, step + 1)
        out = folder / 'model'
        if is_main_process():
            if self.lora is None:
                self.model.to(dtype)
            self.model.save_pretrained(out)
            self.processor.save_pretrained(out)
            (folder / STATE).unlink(missing_ok=True)
        barrier()
        self.model = None
        return str(out)

    def _step(self, batch: Sequence[Sample], weights: Sequence[nn.Parameter], run: 'Run') -> float:
        """Update once; the loss is the mean over the samples of all processes, each its mean over tokens."""
        own = batch[get_rank() :: get_world_size()]
        total = 0.0
        for sample in own:
            with self.autocast:
                loss = self.model(**self._example(sample)).loss / len(batch)
            loss.backward()
            total += float(loss.detach())
        if is_distributed():
            for weight in weights:
                weight.grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
                torch.distributed.all_reduce(weight.grad)
        nn.utils.clip_grad_norm_(weights, 1.0)
        run.optimizer.step()
        run.schedule.step()
        run.optimizer.zero_grad()
        return total

    def _example(self, sample: Sample) -> dict[str, Any]:
        """Make inputs and labels: only the answer and its end are learnt."""
        prompt = self._conversation(sample.question)
        end = self.processor.tokenizer.eos_token or ''
        frames = self._frames(sample.video, sample.clip)
        inputs = self._in_dtype(self._inputs(f'{prompt} {sample.answer}{end}', frames).to(self.device))
        before = self._inputs(prompt, frames)['input_ids'].shape[1]
        labels = inputs['input_ids'].clone()
        labels[:, :before] = IGNORED
        return {**inputs, 'labels': labels}


class Run(NamedTuple):
    """Optimizer and schedule of a training.

    Attributes:
        optimizer: Of the weights.
        schedule: Of its learning rate.
        steps: How many there will be.
    """

    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    steps: int


class Training:
    """How a model of transformers is tuned: AdamW, warm-up and cosine, gradients clipped at 1.

    Args:
        lr: Learning rate (2e-5 in Video-STaR, of all weights).
        epochs: Passes over the samples.
        batch_size: Samples of an update, of all processes together (128 in Video-STaR).
        warmup: Share of the steps.
        weight_decay: Of AdamW.
        save_every: Updates after which the state is saved, to go on from.
        recompute: Whether activations of layers are computed again in the backward pass.
    """

    def __init__(
        self,
        lr: float = 2e-5,
        epochs: float = 1.0,
        batch_size: int = 128,
        warmup: float = 0.03,
        weight_decay: float = 0.0,
        save_every: int = 100,
        recompute: bool = False,
    ) -> None:
        self.lr = lr
        self.epochs = epochs
        self.batch_size = batch_size
        self.warmup = warmup
        self.weight_decay = weight_decay
        self.save_every = save_every
        self.recompute = recompute

    def steps(self, samples: int) -> int:
        """Return the number of updates."""
        return max(1, math.ceil(self.epochs * samples / self.batch_size))

    def batches(self, samples: Sequence[Sample], seed: int) -> Iterator[list[Sample]]:
        """Yield the samples of each update, in an order of the seed that is new in each epoch."""
        size = min(self.batch_size, len(samples))
        order: list[int] = []
        generator = np.random.default_rng(seed)
        for _ in range(self.steps(len(samples))):
            if len(order) < size:
                order += generator.permutation(len(samples)).tolist()
            yield [samples[index] for index in order[:size]]
            order = order[size:]

    def start(self, weights: Sequence[nn.Parameter], samples: int) -> Run:
        """Make optimizer and schedule."""
        from transformers import get_cosine_schedule_with_warmup

        steps = self.steps(samples)
        warm = max(1, round(self.warmup * steps))
        optimizer = torch.optim.AdamW(weights, lr=self.lr, weight_decay=self.weight_decay)

        return Run(optimizer, get_cosine_schedule_with_warmup(optimizer, warm, steps), steps)

    def save(self, path: Path, run: Run, model: nn.Module, step: int) -> None:
        """Save what is needed to go on, whole or not at all."""
        weights = {name: weight.detach() for name, weight in model.named_parameters() if weight.requires_grad}
        with atomic_write(path) as file:
            parts = dict(optimizer=run.optimizer.state_dict(), schedule=run.schedule.state_dict())
            torch.save(dict(step=step, weights=weights, **parts), file)

    def resume(self, path: Path, run: Run, model: nn.Module) -> int:
        """Go on from a saved state, if there is one; returns the steps that are done."""
        if not path.is_file():
            return 0
        state = torch.load(path, map_location='cpu', weights_only=True)
        weights = dict(model.named_parameters())
        with torch.no_grad():
            for name, value in state['weights'].items():
                weights[name].copy_(value)
        run.optimizer.load_state_dict(state['optimizer'])
        run.schedule.load_state_dict(state['schedule'])
        return int(state['step'])


def import_peft() -> Any:
    """Import peft."""
    try:
        import peft
    except ImportError as error:
        raise OmniVLImportError(
            "LoRA needs peft, which is not installed: pip install 'omnivl[lora]', or leave lora out of the config"
        ) from error
    return peft
