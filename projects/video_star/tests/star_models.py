"""Video language models of transformers with random weights, of a few thousand parameters, built from configs."""

import json

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

WORDS = ('<unk>', '<pad>', '<s>', '</s>', '<image>', '<video>')
WORDS += ('<|vision_start|>', '<|vision_end|>', '<|image_pad|>', '<|video_pad|>')
WORDS += (
    'USER',
    'ASSISTANT',
    ':',
    '.',
    '?',
    'Question',
    'Answer',
    'Explain',
    'step',
    'by',
    'how',
    'one',
    'comes',
    'to',
)
WORDS += ('this', 'the', 'answer', 'What', 'is', 'it', 'It', 'red', 'green', 'blue', 'grey', 'happening', 'in', 'video')
SIZE, PATCH = 28, 14
TEXT = dict(
    vocab_size=len(WORDS), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
    num_key_value_heads=2, max_position_embeddings=512, bos_token_id=2, eos_token_id=3, pad_token_id=1,
)  # fmt: skip
VISION = dict(
    hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=SIZE, patch_size=PATCH,
    projection_dim=16,
)  # fmt: skip
SQUARE = dict(size={'height': SIZE, 'width': SIZE}, crop_size={'height': SIZE, 'width': SIZE})
# The chat template of a model that has one.
CHAT = (
    "{% for m in messages %}USER : {% for c in m['content'] %}{% if c['type'] == 'video' %}VIDEO\n"
    '{% else %}{{ c["text"] }}{% endif %}{% endfor %}{% endfor %} ASSISTANT :'
)


def tokenizer(chat=None):
    inner = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token='<unk>'))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    special = list(WORDS[4:10])
    names = dict(unk_token='<unk>', pad_token='<pad>', bos_token='<s>', eos_token='</s>')
    extra = dict(image_token='<image>', video_token='<video>')
    if chat is not None:
        extra = dict(image_token='<|image_pad|>', video_token='<|video_pad|>')
    made = PreTrainedTokenizerFast(tokenizer_object=inner, **names, extra_special_tokens=extra)
    made.add_special_tokens({'additional_special_tokens': special}, replace_extra_special_tokens=False)
    return made


def video_llava():
    config = transformers.VideoLlavaConfig(
        text_config=transformers.LlamaConfig(**TEXT), vision_config=transformers.CLIPVisionConfig(**VISION),
        image_token_index=4, video_token_index=5,
    )  # fmt: skip
    processor = transformers.VideoLlavaProcessor(
        transformers.VideoLlavaImageProcessor(**SQUARE), transformers.VideoLlavaVideoProcessor(**SQUARE), tokenizer(),
        patch_size=PATCH, vision_feature_select_strategy='default',
    )  # fmt: skip
    return transformers.VideoLlavaForConditionalGeneration(config), processor


def llava_next_video():
    config = transformers.LlavaNextVideoConfig(
        text_config=transformers.LlamaConfig(**TEXT), vision_config=transformers.CLIPVisionConfig(**VISION),
        image_token_index=4, video_token_index=5, spatial_pool_stride=2, image_grid_pinpoints=[[SIZE, SIZE]],
    )  # fmt: skip
    processor = transformers.LlavaNextVideoProcessor(
        transformers.LlavaNextVideoVideoProcessor(**SQUARE), transformers.LlavaNextImageProcessor(**SQUARE),
        tokenizer(), patch_size=PATCH, vision_feature_select_strategy='default', num_additional_image_tokens=1,
    )  # fmt: skip
    return transformers.LlavaNextVideoForConditionalGeneration(config), processor


def llava_onevision():
    vision = {key: value for key, value in VISION.items() if key != 'projection_dim'}
    config = transformers.LlavaOnevisionConfig(
        text_config=transformers.Qwen2Config(**TEXT), vision_config=transformers.SiglipVisionConfig(**vision),
        image_token_index=4, video_token_index=5, image_grid_pinpoints=[[SIZE, SIZE]], vision_feature_layer=-1,
    )  # fmt: skip
    size = dict(size={'height': SIZE, 'width': SIZE})
    processor = transformers.LlavaOnevisionProcessor(
        transformers.LlavaOnevisionImageProcessor(**size), tokenizer(),
        transformers.LlavaOnevisionVideoProcessor(**size), num_image_tokens=(SIZE // PATCH) ** 2,
        vision_feature_select_strategy='full',
    )  # fmt: skip
    return transformers.LlavaOnevisionForConditionalGeneration(config), processor


def qwen2_vl():
    rope = dict(rope_type='default', mrope_section=[1, 1, 2], rope_theta=10000.0)
    config = transformers.Qwen2VLConfig(
        text_config=dict(TEXT, rope_parameters=rope), image_token_id=8, video_token_id=9, vision_start_token_id=6,
        vision_end_token_id=7,
        vision_config=dict(depth=1, embed_dim=16, num_heads=2, hidden_size=16, mlp_ratio=2, patch_size=PATCH),
    )  # fmt: skip
    size = dict(size={'shortest_edge': SIZE * SIZE, 'longest_edge': 2 * SIZE * SIZE})
    template = CHAT.replace('VIDEO\n', '<|vision_start|><|video_pad|><|vision_end|>')
    processor = transformers.Qwen2VLProcessor(
        transformers.Qwen2VLImageProcessor(**size), tokenizer(template),
        transformers.Qwen2VLVideoProcessor(**size, do_sample_frames=False), chat_template=template,
    )  # fmt: skip
    return transformers.Qwen2VLForConditionalGeneration(config), processor


MODELS = dict(VideoLlava=video_llava, LlavaNextVideo=llava_next_video, LlavaOnevision=llava_onevision, Qwen2VL=qwen2_vl)


def write_model(name, folder):
    """Write a tiny model with its processor into a folder, as the hub has them."""
    torch.manual_seed(0)
    model, processor = MODELS[name]()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    assert json.loads((folder / 'config.json').read_text())['architectures'] == [f'{name}ForConditionalGeneration']
    return str(folder)
