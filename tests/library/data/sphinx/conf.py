raise SystemExit("conf.py was run")

project = "Teapot"
version = "2.1"
release = version
source_suffix = {".txt": "restructuredtext", ".md": "markdown"}
exclude_patterns = ["_ext", "drafts/*", "requirements.txt"]
rst_epilog = """
.. |team| replace:: the Teapot team
"""
extlinks = {"ticket": ("https://tickets.example/%s", "#%s")}
html_title = f"{project} docs"
