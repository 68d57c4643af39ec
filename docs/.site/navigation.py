"""Which page of the site stands where: a page that is not there yet is left out, one that nobody placed stands under *More*."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

SECTIONS: dict[str, dict[str, str]] = {
    "Start": {
        "run.md": "One command",
        "data.md": "Your images",
        "spaces.md": "Spaces and sizes",
        "limits.md": "Limits",
        "settings.md": "Settings",
        "terminal.md": "In the terminal",
    },
    "Each step": {
        "latency-tables.md": "Profile: latency tables",
        "kits.md": "Profile without PyTorch",
        "devices.md": "Profile over the network",
        "training.md": "Train and retrain",
        "search.md": "Search",
        "compare.md": "Compare with rivals",
        "export.md": "Export",
        "formats.md": "Export: formats and runtimes",
        "verdicts.md": "Export: verdicts",
        "half-precision.md": "Export: half precision",
        "faults.md": "Export: when it goes wrong",
        "tensorrt.md": "Export: TensorRT",
        "report.md": "Report",
        "distributed.md": "Several GPUs and machines",
    },
    "Use the result": {
        "artefact.md": "The artefact folder",
        "predict.md": "Predict",
        "serve.md": "Serve",
    },
    "Python": {"python.md": "A tour", "api.md": "Reference"},
    "Look up": {
        "reading.md": "How to read results",
        "glossary.md": "Words",
        "executed.md": "What was executed where",
        "extending.md": "Extend edgenas",
    },
}
HOME = "index.md"


def on_config(config: Any) -> Any:
    """Fill in the navigation."""
    folder = Path(config.docs_dir)
    placed = {page for pages in SECTIONS.values() for page in pages}
    nav: list[Any] = [{"Home": HOME}]
    for section, pages in SECTIONS.items():
        there = [{name: page} for page, name in pages.items() if (folder / page).is_file()]
        nav += [{section: there}] if there else []
    rest = sorted(path.name for path in folder.glob("*.md") if path.name not in {HOME, *placed})
    nav += [{"More": rest}] if rest else []
    reports = sorted(path.relative_to(folder).as_posix() for path in folder.glob("measurements/*.md"))
    nav.append({"Measurements": [{"All reports": reports}]})
    config.nav = nav
    return config


_CODE = re.compile(r"(```.*?```|`[^`\n]*`)", re.DOTALL)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Keep two brackets side by side, such as a value's intervals, from being taken for a reference."""
    return "".join(part if part.startswith("`") else part.replace("] [", "] \\[") for part in _CODE.split(markdown))
