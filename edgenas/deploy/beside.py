"""What is written beside an artefact on request, for those who deploy it: a Triton model repository, Dockerfiles.

Texts of others (names of classes) stand in these files only where the format quotes them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from edgenas.errors import UsageError
from edgenas.escaping import one_line
from edgenas.records import Manifest, ModelFile

MODEL = "edgenas"  # name of the model in Triton
MOST_TOGETHER = 32  # images that Triton puts into one call
_PLATFORMS = {"onnx": ("onnxruntime", "model.onnx"), "tensorrt": ("tensorrt", "model.plan")}
_SERVER_PACKAGES = "onnxruntime numpy scipy pillow click rich fastapi uvicorn python-multipart prometheus-client"


def write_beside(folder: Path, manifest: Manifest, extras: Sequence[str]) -> list[str]:
    """Write what was asked for; paths of the files, relative to the folder.

    Args:
        folder: that holds the files of the manifest.
        manifest: of the artefact.
        extras: keys of `EXTRAS`.
    """
    return [path for name in dict.fromkeys(extras) for path in EXTRAS[name](folder, manifest)]


def require_possible(extras: Sequence[str], format_name: str) -> None:
    """Check extras before work is done for them.

    Raises:
        UsageError: naming the ones there are, or why one is not for the format.
    """
    for name in extras:
        if name not in EXTRAS:
            raise UsageError(f"--with {name} is unknown; allowed: {', '.join(EXTRAS)}")
    if "triton" in extras and format_name not in ("onnx", "trt"):
        raise UsageError(f"no Triton repository is written for {format_name}; export --format onnx or trt --with triton")
    if "docker" in extras and format_name != "onnx":
        raise UsageError("--with docker is for --format onnx: the image holds ONNX Runtime")


def _triton(folder: Path, manifest: Manifest) -> list[str]:
    """A model repository, and a Dockerfile that serves it.

    Of ONNX the float32 file for any number of images is taken, else the first; of engines those for one image, by GPU.
    """
    files = _for_triton(manifest.files)
    backend, default_name = _PLATFORMS["onnx" if files[0].kind == "onnx" else "tensorrt"]
    home = Path("triton", "models", MODEL)
    (folder / home / "1").mkdir(parents=True)
    names = {}
    for file in files:
        target = file.targets[0] if len(files) > 1 else ""
        name = default_name if not target else f"model-{target}.plan"
        shutil.copyfile(folder / file.path, folder / home / "1" / name)
        names[target] = name
    _write(folder / home / "config.pbtxt", _config(manifest, files[0], backend, names))
    _write(folder / home / "labels.txt", "".join(f"{one_line(name)}\n" for name in manifest.classes))
    _write(folder / "triton" / "Dockerfile", _TRITON_DOCKERFILE)
    paths = [
        *(home / "1" / name for name in names.values()),
        home / "config.pbtxt",
        home / "labels.txt",
        Path("triton", "Dockerfile"),
    ]
    return [path.as_posix() for path in paths]


def _for_triton(files: Sequence[ModelFile]) -> list[ModelFile]:
    engines = [file for file in files if file.kind == "engine"]
    if engines:
        return engines
    return [min(files, key=lambda file: (file.precision != "fp32", file.batch_size is not None))]


def _config(manifest: Manifest, file: ModelFile, backend: str, names: dict[str, str]) -> str:
    """``config.pbtxt``; a file for any number of images is called with as many as wait."""
    is_any = file.batch_size is None
    shape, classes = manifest.input.shape[1:], len(manifest.classes)
    image = [*shape] if is_any else [file.batch_size, *shape]
    logits = [classes] if is_any else [file.batch_size, classes]
    lines = [
        "# What is sent is the image as manifest.json's preprocessing says; what comes are logits, softmax gives probabilities.",
        f"name: {_quoted(MODEL)}",
        f"backend: {_quoted(backend)}",
        f"max_batch_size: {MOST_TOGETHER if is_any else 0}",
        f"default_model_filename: {_quoted(next(iter(names.values())))}",
        f"input [ {{ name: {_quoted(manifest.input.name)} data_type: TYPE_FP32 dims: {image} }} ]",
        f'output [ {{ name: {_quoted(manifest.output.name)} data_type: TYPE_FP32 dims: {logits} label_filename: "labels.txt" }} ]',
        f"instance_group [ {{ count: 1 kind: {'KIND_CPU' if backend == 'onnxruntime' else 'KIND_GPU'} }} ]",
        *(["dynamic_batching { max_queue_delay_microseconds: 500 }"] if is_any else []),
    ]
    for target, name in names.items():
        if target:
            lines.append(f"cc_model_filenames [ {{ key: {_quoted(_capability(target))} value: {_quoted(name)} }} ]")
    return "\n".join(lines) + "\n"


def _capability(target: str) -> str:
    """``8.6`` of ``sm86``."""
    digits = target.removeprefix("sm")
    return f"{digits[:-1]}.{digits[-1]}"


def _quoted(text: str) -> str:
    """A string of protobuf's text format."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _docker(folder: Path, manifest: Manifest) -> list[str]:
    """A Dockerfile that puts this artefact behind `edgenas serve`, without PyTorch, which that does not need."""
    version = manifest.created_by.removeprefix("edgenas ")
    _write(folder / "Dockerfile", _SERVE_DOCKERFILE.format(version=version, packages=_SERVER_PACKAGES))
    return ["Dockerfile"]


_TRITON_DOCKERFILE = """\
# In the artefact's folder: docker build -f triton/Dockerfile -t classifier-triton .
# docker run --rm -p 8000:8000 -p 8001:8001 -p 8002:8002 classifier-triton     (with GPUs: --gpus all)
ARG TRITON=25.08
FROM nvcr.io/nvidia/tritonserver:${TRITON}-py3
COPY triton/models /models
EXPOSE 8000 8001 8002
CMD ["tritonserver", "--model-repository=/models"]
"""

_SERVE_DOCKERFILE = """\
# In the artefact's folder: docker build -t classifier .
# docker run --rm -p 8000:8000 classifier, then open http://127.0.0.1:8000
# A wheel of edgenas from elsewhere: --build-arg EDGENAS=https://.../edgenas-{version}-py3-none-any.whl
FROM python:3.12-slim
ARG EDGENAS=edgenas=={version}
RUN pip install --no-cache-dir {packages} \\
 && pip install --no-cache-dir --no-deps "${{EDGENAS}}" \\
 && useradd --create-home serve
COPY . /artefact
USER serve
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=3s \\
 CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/ready', timeout=2)"]
ENTRYPOINT ["edgenas", "serve", "/artefact", "--host", "0.0.0.0"]
"""


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


EXTRAS: dict[str, Callable[[Path, Manifest], list[str]]] = {"triton": _triton, "docker": _docker}
