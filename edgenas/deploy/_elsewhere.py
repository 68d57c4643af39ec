"""What an artefact's README says of its other files, and of other runtimes: C++, TensorRT, OpenVINO."""

from __future__ import annotations

from edgenas.deploy._example_cpp import example_cpp, onnx_for_one_image
from edgenas.deploy.sbom import SBOM
from edgenas.escaping import markdown_code
from edgenas.records import Manifest

BUILD_ENGINE = "build_engine.py"


def beside(manifest: Manifest) -> str:
    """A line for each file that goes with the models."""
    lines = {
        "manifest.json": "what this page says, for programs: classes, preprocessing, threshold, figures, versions, hashes",
        "labels.txt": "the classes, one a line, in the order of the outputs; control characters are written as `\\x1b`",
        "example.py": "reads images, runs the model, decides; needs onnxruntime, numpy and pillow",
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
    return "\n".join(f"- {markdown_code(name)}: {words}" for name, words in lines.items() if words)


def elsewhere(manifest: Manifest) -> str:
    """Lines to copy for whoever does not use ONNX Runtime in Python; nothing where there are none."""
    model = onnx_for_one_image(manifest.files)
    if model is None:
        engines = [file.path for file in manifest.files if file.kind == "engine" and file.runtime == "tensorrt"]
        lines = "\n".join(f"trtexec --loadEngine={path}" for path in engines)
        return f"## In other programs\n\nTensorRT's own timing of an engine:\n\n```\n{lines}\n```" if engines else ""
    parts = [
        "## In other programs",
        "The ONNX files hold `classes`, `preprocessing`, `decision`, `positive` and `threshold` as `metadata_props`, after "
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


def _trtexec(manifest: Manifest, model: str) -> str:
    """In the precision of the file; half precision needs one that is typed so: TensorRT 11 has no ``--fp16``."""
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
