"""What every deployment format and every runtime must pass: subclass and give one fixture.

Tests skip what a missing device or package forbids, and then check that it is refused with a typed error.
"""

# ruff: noqa: D102 - a test's name is its sentence

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest

from edgenas.deploy.calibrating import CalibrationImages
from edgenas.deploy.contracts import Exporter, ExportSpec, Precision, Probe, Runtime
from edgenas.deploy.plugins import exporter_names, get_exporter, get_runtime, runtime_names
from edgenas.errors import ArtefactError, EdgeNASError, ExportError, MissingBackendError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

INPUT_SHAPE = (3, 8, 8)
_TOLERANCES: dict[str, float] = {"fp32": 1e-4, "fp16": 2e-2, "bf16": 1e-1, "int8": 1e-1}
_PROBES: dict[str, Probe] = {}  # by runtime: some build or lower a net for it
_HEAVY = ("torch", "onnx", "onnxruntime", "tensorrt", "tensorrt_rtx", "openvino", "executorch")


def tiny_net(*, seed: int = 0, num_classes: int = 3) -> nn.Module:
    """A net with the operators of a vision transformer, for images of `INPUT_SHAPE`."""
    import torch
    from torch import nn

    class TinyNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(INPUT_SHAPE[0], 8, 2, stride=2)
            self.norm = nn.LayerNorm(8)
            self.qkv = nn.Linear(8, 24)
            self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Dropout(0.5), nn.Linear(16, 8))
            self.head = nn.Linear(8, num_classes)

        def forward(self, image_NCHW: torch.Tensor) -> torch.Tensor:
            x_NLC = self.patches(image_NCHW).flatten(2).transpose(1, 2)
            q_NHLD, k_NHLD, v_NHLD = self.qkv(self.norm(x_NLC)).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4).unbind(0)
            attended_NHLD = nn.functional.scaled_dot_product_attention(q_NHLD, k_NHLD, v_NHLD)
            x_NLC = x_NLC + attended_NHLD.transpose(1, 2).flatten(2)
            x_NLC = x_NLC + self.mlp(x_NLC)
            logits: torch.Tensor = self.head(x_NLC.mean(dim=1))
            return logits

    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        return TinyNet().eval()


@cache
def tiny_onnx() -> bytes:
    """The tiny net as an ONNX file's bytes, as it is traced: batch 1, float32."""
    with TemporaryDirectory() as folder:
        return get_exporter("onnx").export(tiny_net(), ExportSpec(INPUT_SHAPE, rewrites=()), Path(folder))[0].path.read_bytes()


def images(num: int, *, seed: int = 0) -> NDArray[np.float32]:
    """Seeded noise of `INPUT_SHAPE`."""
    return np.random.default_rng(seed).standard_normal((num, *INPUT_SHAPE)).astype(np.float32)


def reference_logits(net: nn.Module, images_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
    """What PyTorch answers on the CPU."""
    import torch

    with torch.no_grad():
        result: NDArray[np.float32] = net(torch.from_numpy(images_NCHW)).numpy()
    return result


class ExporterConformance:
    """Contract of a format. `targets` may be overridden where building is slow, `is_fixed` where no file is for any batch.

    `int8_tolerance` is what a tiny net of random weights may lose.
    """

    targets: tuple[str, ...] = ()
    is_fixed = False
    int8_tolerance = _TOLERANCES["int8"]

    @pytest.fixture
    def exporter(self) -> Exporter:
        """The format under test."""
        raise NotImplementedError

    def spec(self, precision: Precision = "fp32", batch_size: int | None = 1) -> ExportSpec:
        """What the tests ask for."""
        calibration = CalibrationImages(images(32, seed=1), max_changed=0.2) if precision == "int8" else None
        return ExportSpec(INPUT_SHAPE, batch_size, precision, targets=self.targets, calibration=calibration)

    def test_is_registered_under_its_name(self, exporter: Exporter) -> None:
        assert isinstance(exporter, Exporter)
        assert exporter.name in exporter_names()
        assert type(get_exporter(exporter.name)) is type(exporter)

    @pytest.mark.parametrize(
        ("precision", "batch_size"), [("fp32", 1), ("fp32", None), ("fp16", None), ("bf16", 1), ("int8", 1), ("int8", None)]
    )
    def test_writes_files_that_answer_as_the_model(
        self, exporter: Exporter, tmp_path: Path, precision: Precision, batch_size: int | None
    ) -> None:
        net = tiny_net()
        if precision not in exporter.precisions:
            pytest.skip(f"it is not written in {precision}")
        tolerance = self.int8_tolerance if precision == "int8" else _TOLERANCES[precision]
        if self.is_fixed and batch_size is None:
            with pytest.raises(ExportError, match="fixed number of images"):
                exporter.export(net, self.spec(precision, batch_size), tmp_path)
            return
        try:
            files = exporter.export(net, self.spec(precision, batch_size), tmp_path)
        except MissingBackendError as error:
            pytest.skip(str(error))
        assert files
        x = images(1 if batch_size is None else batch_size)
        for file in files:
            assert file.path.parent == tmp_path
            assert all(part.parent == tmp_path and part.stat().st_size > 0 for part in (file.path, *file.parts))
            assert (file.precision, file.batch_size) == (precision, batch_size)
            runtime = get_runtime(file.runtime)
            assert file.kind in runtime.accepts
            if runtime.probe().works:
                runner = runtime.load(file.path, precision=precision)
                assert runner.info.precision == precision
                np.testing.assert_allclose(runner(x), reference_logits(net, x), atol=tolerance)
                runner.close()
            if file.emulation is not None:
                runner = get_runtime("onnxruntime-cpu").load(file.emulation)
                np.testing.assert_allclose(runner(x), reference_logits(net, x), atol=tolerance)
                runner.close()
        assert sorted(p.name for p in tmp_path.iterdir() if p.suffix == ".tmp") == []

    def test_leaves_the_model_as_it_is(self, exporter: Exporter, tmp_path: Path) -> None:
        net = tiny_net().train()
        before = {name: value.clone() for name, value in net.state_dict().items()}
        try:
            exporter.export(net, self.spec(), tmp_path)
        except MissingBackendError as error:
            pytest.skip(str(error))
        assert net.training
        assert all(parameter.requires_grad for parameter in net.parameters())
        assert all((before[name] == value).all() for name, value in net.state_dict().items())


class RuntimeConformance:
    """Contract of a runtime.

    Attributes:
        int8_format: whose int8 files it runs.
        answered: precisions in which the tiny net's file answers; None for all of the runtime's.
    """

    int8_format = "onnx"
    answered: tuple[Precision, ...] | None = None

    @pytest.fixture
    def runtime(self) -> Runtime:
        """The runtime under test."""
        raise NotImplementedError

    @pytest.fixture
    def probe(self, runtime: Runtime) -> Probe:
        """Its probe, made once for all tests."""
        if runtime.name not in _PROBES:
            _PROBES[runtime.name] = runtime.probe()
        return _PROBES[runtime.name]

    @pytest.fixture
    def source(self, runtime: Runtime, tmp_path: Path) -> Path | nn.Module:
        """The tiny net in a form that it accepts."""
        if "module" in runtime.accepts:
            return tiny_net()
        path = tmp_path / "tiny.onnx"
        path.write_bytes(tiny_onnx())
        return path

    def quantized(self, folder: Path) -> Path:
        """The tiny net in int8: nothing makes it of a float32 file without images."""
        spec = ExportSpec(INPUT_SHAPE, precision="int8", calibration=CalibrationImages(images(32, seed=1), max_changed=0.2))
        return get_exporter(self.int8_format).export(tiny_net(), spec, folder)[0].path

    def test_refuses_int8_of_what_was_not_calibrated(self, runtime: Runtime, probe: Probe, source: Path | nn.Module) -> None:
        self._require(probe)
        if "int8" in runtime.precisions:
            with pytest.raises(ArtefactError, match="asked for was int8"):
                runtime.load(source, precision="int8")

    def test_is_registered_under_its_name(self, runtime: Runtime) -> None:
        assert isinstance(runtime, Runtime)
        assert runtime.name in runtime_names()
        assert type(get_runtime(runtime.name)) is type(runtime)

    def test_constructing_one_imports_nothing_heavy(self, runtime: Runtime) -> None:
        code = (
            "import sys; from edgenas.deploy.plugins import get_runtime; "
            f"get_runtime({runtime.name!r}); print(*sorted({_HEAVY!r} & sys.modules.keys()))"
        ).replace(f"{_HEAVY!r}", f"set({_HEAVY!r})")
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.split() == []

    def test_probe_says_why_and_what_mends_it(self, probe: Probe) -> None:
        assert probe.reason
        assert "\n" not in probe.reason + probe.fix
        if probe.works:
            assert probe.version
            assert probe.device
            assert not probe.fix

    def test_refuses_to_load_where_the_probe_failed(self, runtime: Runtime, probe: Probe, source: Path | nn.Module) -> None:
        if probe.works:
            pytest.skip("it works here")
        with pytest.raises(MissingBackendError):
            runtime.load(source)

    def test_answers_as_the_model(self, runtime: Runtime, probe: Probe, source: Path | nn.Module, tmp_path: Path) -> None:
        self._require(probe)
        x = images(1)
        for precision in self.answered or runtime.precisions:
            loaded = self.quantized(tmp_path) if precision == "int8" else source
            runner = runtime.load(loaded, precision=precision)
            try:
                logits = runner(x)
                assert logits.dtype == np.float32
                np.testing.assert_allclose(logits, reference_logits(tiny_net(), x), atol=_TOLERANCES[precision])
                np.testing.assert_array_equal(runner(x), logits)
                compute_ms = runner.compute_ms(x)
                assert compute_ms is None or compute_ms > 0
                assert runner.info.precision == precision
            finally:
                runner.close()

    def test_refuses_a_precision_that_it_does_not_compute_in(
        self, runtime: Runtime, probe: Probe, source: Path | nn.Module
    ) -> None:
        self._require(probe)
        others = sorted({"fp32", "fp16", "bf16", "int8"} - {*runtime.precisions})
        for precision in others:
            with pytest.raises(UsageError, match=precision):
                runtime.load(source, precision=cast(Precision, precision))
        assert others or len(runtime.precisions) == 4

    def test_takes_read_only_images(self, runtime: Runtime, probe: Probe, source: Path | nn.Module) -> None:
        self._require(probe)
        x = images(1)
        x.flags.writeable = False
        runner = runtime.load(source)
        assert np.isfinite(runner(x)).all()
        runner.close()

    def test_says_what_the_live_session_is(self, runtime: Runtime, probe: Probe, source: Path | nn.Module) -> None:
        self._require(probe)
        runner = runtime.load(source, threads=1, spinning=False)
        info = runner.info
        runner.close()
        assert (info.runtime, info.device_kind) == (runtime.name, runtime.device_kind)
        assert info.device
        assert info.runtime_version == probe.version
        assert info.threads == (1 if info.device_kind == "cpu" else None)
        assert info.spinning in (False, None)

    def test_closes_twice(self, runtime: Runtime, probe: Probe, source: Path | nn.Module) -> None:
        self._require(probe)
        runner = runtime.load(source)
        runner.close()
        runner.close()

    def test_refuses_what_it_cannot_load_in_one_line(self, runtime: Runtime, probe: Probe, tmp_path: Path) -> None:
        self._require(probe)
        damaged = tmp_path / "damaged.onnx"
        damaged.write_bytes(b"\x08\x0a not a model")
        with pytest.raises((ArtefactError, UsageError)) as caught:
            runtime.load(damaged)
        assert "\n" not in str(caught.value)
        with pytest.raises(EdgeNASError):
            runtime.load(tmp_path / "missing.onnx")

    @staticmethod
    def _require(probe: Probe) -> None:
        if not probe.works:
            pytest.skip(probe.reason)
