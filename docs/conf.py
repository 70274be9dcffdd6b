"""How the documentation is built: ``python -m sphinx -W -b html docs build/docs``.

The pages are Markdown (MyST). The reference is made from docstrings and signatures: a page for each registry with all
that is registered in it, so that a new component is documented by its own docstring, and a page for each package.
"""

import importlib
import pkgutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from components import write_reference  # noqa: E402

import omnivl  # noqa: E402
from omnivl.version import __version__  # noqa: E402

project = 'omnivl'
author = 'the authors of omnivl'
release = version = __version__
extensions = ['myst_nb', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon', 'sphinx.ext.viewcode']
myst_enable_extensions = ['colon_fence', 'deflist']
myst_heading_anchors = 3
nb_execution_mode = 'off'  # a test runs the notebook; its outputs are those of a whole run
exclude_patterns = ['_build']
autodoc_typehints = 'description'
autodoc_typehints_description_target = 'documented'
autodoc_member_order = 'bysource'
autodoc_default_options = {'show-inheritance': True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
html_theme = 'furo'
html_title = f'omnivl {release}'

for module in pkgutil.walk_packages(omnivl.__path__, 'omnivl.'):
    importlib.import_module(module.name)
write_reference(HERE / 'reference')
