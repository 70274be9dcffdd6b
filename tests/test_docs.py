"""The pages speak of what is there: keys of configs, files, commands and their options."""

import importlib.util
import re
from pathlib import Path

import pytest

from omnivl.engine.config import known_keys

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md')), *sorted((ROOT / 'docs').glob('[egt]*/**/*.md'))]
COMMAND = re.compile(r'(?:python|bash) (tools/[\w/]+\.(?:py|sh))(.*)')
MADE = re.compile(r'(^|/)(registries/|packages/|commands\.md|experiments\.md)')  # when the documentation is built
SOURCES = [*ROOT.glob('tools/*.py'), *ROOT.glob('tools/*/*.py'), *ROOT.glob('omnivl/**/*.py')]


def commands(page):
    """Commands of the code blocks of a page: script and options."""
    for block in re.findall(r'```bash\n(.*?)```', page.read_text(), re.S):
        for line in block.replace('\\\n', ' ').splitlines():
            found = COMMAND.search(line.split('#')[0])
            if found:
                yield found[1], found[2]


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_commands_are_there_with_their_options(page):
    known = {option for source in SOURCES for option in re.findall(r"'(--[\w-]+)'", source.read_text())}
    known |= {'--help', '--max-restarts'}  # the second of tools/dist_train.sh
    for script, rest in commands(page):
        assert (ROOT / script).is_file(), script
        assert set(re.findall(r'(?<!\S)--[\w-]+', rest)) <= known, (script, rest)
        for config in re.findall(r'\S*configs/\S+\.py', rest):
            assert (ROOT / config).is_file(), config


def test_every_key_of_a_config_is_described():
    described = set(re.findall(r'`(\w+)`', (ROOT / 'docs/reference/config.md').read_text()))
    assert known_keys() <= described


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r'\]\((?!https?:|#)([^)#\s]+)', page.read_text()):
        if not MADE.search(target):
            assert (page.parent / target).exists(), target


def test_every_registry_and_package_has_a_page(tmp_path):
    spec = importlib.util.spec_from_file_location('components', ROOT / 'docs/components.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.write_reference(tmp_path)
    text = (tmp_path / 'registries/transforms.md').read_text()
    assert '## RandomResizedCrop' in text and 'omnivl.datasets.transforms.visual.RandomResizedCrop' in text
    assert (tmp_path / 'packages/models.md').read_text().startswith('# omnivl.models')
    links = re.findall(r'\((registries/\w+\.md)\)', (ROOT / 'docs/reference/config.md').read_text())
    assert len(links) > 8 and all((tmp_path / link).is_file() for link in links)
