"""What an artefact's README says of its other files, and of other runtimes: C++, TensorRT, OpenVINO."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgenas.deploy._example_cpp import example_cpp, onnx_for_one_image
from edgenas.deploy.sbom import SBOM
from edgenas.escaping import markdown, markdown_code
from edgenas.percents import percent
from edgenas.records import Manifest, ModelFile

BUILD_ENGINE = "build_engine.py"


_ON_REQUEST = {
    "docker": ("Dockerfile", "answers over HTTP: `docker build -t classifier .` in this folder"),
    "triton": ("triton", "a model repository for Triton Inference Server, and a Dockerfile that serves it"),
}


def beside(manifest: Manifest, extras: Sequence[str] = ()) -> str:
    """A line for each file that goes with the models, and for what was written on request (``docker``, ``triton``)."""
    lines = {
        "manifest.json": "what this page says, for programs: classes, preprocessing, threshold, figures, versions, hashes",
        "labels.txt": "the classes, one a line, in the order of the outputs; control characters are written as `\\x1b`",
        "example.py": f"reads images, runs the model, decides; needs {packages(manifest.files, ', ')}, numpy and pillow",
        "example.cpp": "" if example_cpp(manifest) is None else "the same in C++, with ONNX Runtime alone",
        BUILD_ENGINE: ""
        if all(file.kind != "onnx" for file in manifest.files)
        else "builds a TensorRT engine on the device that it is for, a Jetson too, and checks its precision",
        "parity.json": "how the files were compared with the net that they came from",
        SBOM: "bill of materials, CycloneDX 1.6: files, packages, weights, data",
        manifest.golden.path: "generated images, and what the model must answer to them",
    }
    if manifest.answers is not None:
        lines[manifest.answers.path] = "what the net answered to the images that judged it, by their SHA-256"
    lines |= dict(_ON_REQUEST[extra] for extra in extras)
    return "\n".join(f"- {markdown_code(name)}: {words}" for name, words in lines.items() if words)


def elsewhere(manifest: Manifest) -> str:
    """Lines to copy for whoever does not use ONNX Runtime in Python; nothing where there are none."""
    model = onnx_for_one_image(manifest.files)
    own = [_OWN[file.kind](file) for file in manifest.files if file.kind in _OWN and file.batch_size == 1]
    if model is None and own:
        return "\n\n".join(["## In other programs", *own])
    if model is None:
        engines = [file.path for file in manifest.files if file.kind == "engine" and file.runtime == "tensorrt"]
        lines = "\n".join(f"trtexec --loadEngine={path}" for path in engines)
        return f"## In other programs\n\nTensorRT's own timing of an engine:\n\n```\n{lines}\n```" if engines else ""
    zone = ", `refer`" if manifest.refer is not None else ""
    parts = [
        "## In other programs",
        f"The ONNX files hold `classes`, `preprocessing`, `decision`, `positive` and `threshold`{zone} as `metadata_props`, after "
        "`schema_version`; in Python: `session.get_modelmeta().custom_metadata_map`.",
    ]
    if example_cpp(manifest) is not None:
        parts.append(
            "C++ with [ONNX Runtime](https://onnxruntime.ai); it reads PPM images and resizes exactly as `example.py` does:\n\n"
            "```\ng++ -O2 -std=c++17 example.cpp -I ONNXRUNTIME/include -L ONNXRUNTIME/lib -lonnxruntime -o ../example\n"
            "convert ../photo.jpg -auto-orient -depth 8 ../photo.ppm\n../example ../photo.ppm\n```"
        )
    if all(file.precision != "int8" for file in manifest.files):
        parts.append(_trtexec(manifest, model))  # TensorRT takes other integers than ONNX Runtime
    parts.append(
        "OpenVINO (`pip install openvino`), in this folder:\n\n"
        "```python\nimport json\nimport sys\n\nimport openvino\n\nsys.dont_write_bytecode = True  # no other file belongs here\n"
        "from example import decide, preprocess\n\n"
        'manifest = json.load(open("manifest.json"))\n'
        f'model = openvino.compile_model("{model}", "CPU", {{"INFERENCE_PRECISION_HINT": "f32"}})\n'
        'logits = model(preprocess("../photo.jpg", manifest["preprocessing"]))[0]\n'
        "print(*decide(logits[0], manifest))\n```"
    )
    parts.append("What these build was not compared with the net: check its answers on own images before they are relied on.")
    return "\n\n".join(parts)


def packages(files: Sequence[ModelFile], parted: str = " ") -> str:
    """What runs the file that `example.py` takes, as pip calls it."""
    kinds = {file.kind for file in files}
    if "onnx" not in kinds and "openvino" in kinds:
        return "openvino"
    return f"torch{parted}executorch" if "executorch" in kinds and "onnx" not in kinds else "onnxruntime"


def _openvino(file: ModelFile) -> str:
    """How the model is run from C++ and Python."""
    hint = "bf16" if "bf16" in (file.precision, file.notes.get("int8_around")) else "f32"
    texts = "`classes`, `preprocessing`, `decision`, `positive` and `threshold`"
    return (
        f"The model holds {texts} in its `rt_info`, section `edgenas`. `INFERENCE_PRECISION_HINT` belongs to it: without the hint "
        "OpenVINO chooses a precision of its own on some CPUs, in which the model was not judged. The `.bin` stays beside the "
        "`.xml`.\n\nC++ with [OpenVINO](https://docs.openvino.ai):\n\n"
        "```cpp\n#include <openvino/openvino.hpp>\n\nov::Core core;\n"
        f'auto compiled = core.compile_model("{file.path}", "CPU",\n'
        f"    ov::hint::inference_precision(ov::element::{hint}),\n"
        f"    ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY));\n"
        "auto request = compiled.create_infer_request();\n"
        "request.set_input_tensor(ov::Tensor(ov::element::f32, compiled.input().get_shape(), image.data()));\n"
        "request.infer();\nconst float* logits = request.get_output_tensor().data<float>();\n```\n\n"
        "Python:\n\n```python\nimport openvino\n\n"
        f'model = openvino.compile_model("{file.path}", "CPU", {{"INFERENCE_PRECISION_HINT": "{hint}"}})\n'
        "logits = model(image)[0]\n```"
    )


def _executorch(file: ModelFile) -> str:
    """How the program is run on Android, iOS and from C++ and Python; what XNNPACK does not run of it."""
    left = markdown(str(file.notes.get("not_delegated", "unknown")))
    share = file.notes.get("delegated_share")
    took = f"XNNPACK runs {percent(share)} of its nodes" if isinstance(share, float) else "XNNPACK runs most of it"
    return (
        f"{took}; ExecuTorch's own operators run the rest ({left}), so whatever runs the program is built with both: XNNPACK and "
        "the portable or optimised operators. The program answers with its texts by methods, e.g. `edgenas_classes`.\n\n"
        "Android, with `org.pytorch:executorch-android`:\n\n"
        f'```java\nModule module = Module.load("{file.path}");\n'
        "float[] logits = module.forward(EValue.from(Tensor.fromBlob(image, shape)))[0].toTensor().getDataAsFloatArray();\n```\n\n"
        "iOS and macOS, with the Swift package `executorch` and its targets `backend_xnnpack` and `kernels_optimized`:\n\n"
        f'```swift\nlet module = Module(filePath: "{file.path}")\n'
        "let logits = try module.forward(Tensor<Float>(image, shape: shape))\n```\n\n"
        "C++ on Linux:\n\n"
        f"```cpp\n#include <executorch/extension/module/module.h>\n#include <executorch/extension/tensor/tensor.h>\n\n"
        f'executorch::extension::Module module("{file.path}");\n'
        "auto input = executorch::extension::from_blob(image.data(), shape);\n"
        "const float* logits = module.forward(input)->at(0).toTensor().const_data_ptr<float>();\n```\n\n"
        "Of these only Python on x86 was run when it was exported (`example.py` shows how)."
    )


_OWN: dict[str, Callable[[ModelFile], str]] = {"openvino": _openvino, "executorch": _executorch}


def _trtexec(manifest: Manifest, model: str) -> str:
    """How to build an engine in the file's precision; half precision needs one that is typed so: TensorRT 11 has no ``--fp16``."""
    dynamic = next((file.path for file in manifest.files if file.kind == "onnx" and file.batch_size is None), None)
    sides = "x".join(str(size) for size in manifest.input.shape[1:])
    typed = "" if all(file.precision == "fp32" for file in manifest.files if file.kind == "onnx") else " --stronglyTyped"
    lines = [f"trtexec --onnx={model}{typed} --saveEngine=model.engine"]
    if dynamic is not None:
        shapes = " ".join(
            f"--{name}Shapes={manifest.input.name}:{count}x{sides}" for name, count in (("min", 1), ("opt", 8), ("max", 32))
        )
        lines.append(f"trtexec --onnx={dynamic}{typed} {shapes} --saveEngine=batches.engine")
    why = " TensorRT 10 computes in the file's types only with `--stronglyTyped`; 11 always does." if typed else ""
    jetson = (
        f"On a Jetson, or wherever TensorRT 10 or 11 is: `python3 {BUILD_ENGINE}` calls `trtexec`, refuses older versions, and "
        "reads off the engine's layers whether they compute in the file's precision. JetPack 6.1 has TensorRT 10.3, and JetPack 6 "
        "stays with 10; TensorRT 11.4.1 is for JetPack 7.2.2 and later (AGX Orin, Thor); JetPack 5 has 8.5, which is too old."
    )
    judged = "`edgenas export --format trt` builds engines in half precision, and judges them"
    commands = "\n".join(lines)
    return f"TensorRT, for one image a call and for batches ({judged}):\n\n```\n{commands}\n```\n\n{jetson}{why}"
