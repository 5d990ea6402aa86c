"""Settings of Sphinx. `make docs` runs it on the pages that tools/docs_site has collected."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(os.environ["QBO_DOCS_ROOT"]) / "python"))

project = "qbo_rs"
author = "The authors of qbo_rs"
version = release = os.environ["QBO_DOCS_VERSION"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]

nitpicky = True
# Types of the standard library and of optional packages; the site is built without a network.
nitpick_ignore_regex = [(r"py:.*", r"(?!qbo_rs\.).*"), (r"py:.*", r"qbo_rs\._.*"), (r"py:.*", r".*\.IncompleteReport")]
myst_enable_extensions = ["colon_fence"]
# Anchors of headings, as GitHub makes them.
myst_heading_anchors = 4
suppress_warnings = [
    "myst.header",  # CHANGELOG.md and others skip a level
    "ref.python",  # `date` is the type of some fields and the name of others
    "misc.highlighting_failure",  # examples of JSON are cut short with "..."
]

# The compiled module is not needed for the texts of the Python package.
autodoc_mock_imports = ["qbo_rs._core"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_use_unqualified_type_names = True
copybutton_prompt_text = "$ "

html_theme = "furo"
html_title = f"qbo_rs {release}"
html_show_sphinx = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_theme_options = {
    "source_repository": "https://github.com/qbo-rs/qbo_rs/",
    "top_of_page_buttons": [],
}
