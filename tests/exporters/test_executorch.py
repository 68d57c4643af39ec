"""ExecuTorch files: what they say, which nets are taken, and what a damaged one does."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from edgenas.exporters._lowering import MAX_IMAGES, opened_attention
from edgenas.exporters._native import log_kept, quiet
from edgenas.exporters._probe import tiny_module
from edgenas.exporters._pte import LOGGERS
from edgenas.exporters.executorch import ExecuTorchCpu, ExecuTorchExporter
from rich.console import Console
from rich.live import Live
from torch import Tensor, nn

from edgenas.deploy._asking import ApartRunner
from edgenas.deploy.contracts import ExportSpec
from edgenas.deploy.plugins import get_exporter, get_runtime
from edgenas.errors import ArtefactError, BatchError, ExportError
from edgenas.spaces import Task, get_space
from edgenas.supernets import build_net
from edgenas.testing.exporters import images, reference_logits, tiny_net

FAMILIES = ("pvt-nano", "pvt-elastic-nano", "pvt-mobile-pico", "autoformer-nano", "vitas-nano", "pit-nano")


def smallest(name: str) -> tuple[nn.Module, Task]:
    space = get_space(name)
    task = Task(4, 3, space.default_task.image_px)
    genes = tuple(int(gene) for gene in space.extreme(largest=False)[0])
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        return build_net(space, task, genes).eval(), task


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_answers_as_in_onnx_runtime(name: str, tmp_path: Path) -> None:
    net, task = smallest(name)
    spec = ExportSpec((3, task.image_px, task.image_px))
    x = np.random.default_rng(0).standard_normal((1, *spec.input_shape)).astype(np.float32)
    answers = {}
    for format_name, runtime in (("executorch", "executorch-cpu"), ("onnx", "onnxruntime-cpu")):
        (file,) = get_exporter(format_name).export(net, spec, tmp_path)
        runner = get_runtime(runtime).load(file.path, threads=1)
        answers[format_name] = runner(x)
        runner.close()
        if format_name == "executorch":
            assert file.notes["delegated_share"] > 0.5
    np.testing.assert_allclose(answers["executorch"], answers["onnx"], atol=1e-5)


def test_a_file_says_its_types_its_texts_and_what_xnnpack_left(tiny_pte: Path, tmp_path: Path) -> None:
    facts = ExecuTorchCpu().facts(tiny_pte)
    assert facts.precisions == ("fp32",)
    assert "float32" in facts.words
    assert facts.metadata == {"classes": '["a", "b", "c"]'}


def test_notes_name_what_was_not_delegated(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(4)).eval()
    (file,) = ExecuTorchExporter().export(net, ExportSpec((3, 8, 8)), tmp_path)
    assert "native_layer_norm" in str(file.notes["not_delegated"])
    assert 0 < float(file.notes["delegated_share"]) < 1


def test_what_cannot_be_lowered_is_named(tmp_path: Path) -> None:
    class Sorted(nn.Module):
        def forward(self, image_NCHW: torch.Tensor) -> torch.Tensor:
            return image_NCHW.flatten(1)[:, : int(image_NCHW.sum())]

    with pytest.raises(ExportError, match="Sorted cannot be lowered to ExecuTorch"):
        ExecuTorchExporter().export(Sorted(), ExportSpec((3, 8, 8)), tmp_path)
    assert not list(tmp_path.iterdir())


def test_attention_is_opened_without_a_difference() -> None:
    q, k, v = torch.randn(3, 1, 2, 5, 4).unbind(0)
    mask = torch.randn(5, 5)
    plain = nn.functional.scaled_dot_product_attention
    torch.testing.assert_close(opened_attention(q, k, v), plain(q, k, v))
    torch.testing.assert_close(opened_attention(q, k, v, mask, scale=0.3), plain(q, k, v, mask, scale=0.3))
    with pytest.raises(NotImplementedError, match="causal"):
        opened_attention(q, k, v, is_causal=True)


def test_two_runners_keep_their_own_threads_and_torch_keeps_its(tiny_pte: Path) -> None:
    before = torch.get_num_threads()
    one, two = ExecuTorchCpu().load(tiny_pte, threads=1), ExecuTorchCpu().load(tiny_pte, threads=2)
    for runner, threads in ((one, 1), (two, 2), (one, 1)):
        np.testing.assert_allclose(runner(images(1)), reference_logits(tiny_net(), images(1)), atol=1e-5)
        assert runner.info.threads == threads
    assert torch.get_num_threads() == before
    one.close()
    two.close()


def test_another_shape_is_refused(tiny_pte: Path) -> None:
    runner = ExecuTorchCpu().load(tiny_pte)
    with pytest.raises(ArtefactError, match=r"reads images of shape \(1, 3, 8, 8\)"):
        runner(images(2))
    runner.close()


def test_a_float16_file_for_any_number_answers_each_image_as_alone(tmp_path: Path) -> None:
    (file,) = ExecuTorchExporter().export(tiny_module(), ExportSpec((3, 4, 4), None, "fp16"), tmp_path)
    assert (file.path.name, file.batch_size, file.notes["macs_share_fp16"]) == ("model-fp16-dynamic.pte", None, 1.0)
    assert ExecuTorchCpu().facts(file.path).precisions == ("fp16",)
    x_NCHW = np.random.default_rng(0).standard_normal((MAX_IMAGES + 3, 3, 4, 4)).astype(np.float32)
    runner = ExecuTorchCpu().load(file.path, precision="fp16", threads=1)
    assert (runner.info.precision, runner.info.details["images_a_call"]) == ("fp16", f"1 to {MAX_IMAGES}")
    alone_NK = np.concatenate([runner(x_NCHW[row : row + 1]) for row in range(len(x_NCHW))])
    np.testing.assert_allclose(runner(x_NCHW), alone_NK, atol=1e-6)
    assert 0 < float(np.abs(alone_NK - reference_logits(tiny_module(), x_NCHW)).max()) < 5e-3
    for shape in ((2, 3, 8, 8), (0, 3, 4, 4)):
        with pytest.raises(ArtefactError, match=r"reads images of shape \('N', 3, 4, 4\)"):
            runner(np.zeros(shape, dtype=np.float32))
    runner.close()
    with pytest.raises(ArtefactError, match="the file computes in fp16, asked for was fp32"):
        ExecuTorchCpu().load(file.path)


def test_norms_of_a_float16_file_do_not_overflow(tmp_path: Path) -> None:
    class Normed(nn.Module):
        """192 values an image whose squares add up to more than float16 can hold."""

        def __init__(self) -> None:
            super().__init__()
            self.norm, self.head = nn.LayerNorm(3 * 8 * 8), nn.Linear(3 * 8 * 8, 3)

        def forward(self, image_NCHW: Tensor) -> Tensor:
            logits: Tensor = self.head(self.norm(40 * image_NCHW.flatten(1)))
            return logits

    torch.manual_seed(0)
    net = Normed().eval()
    (file,) = ExecuTorchExporter().export(net, ExportSpec((3, 8, 8), 1, "fp16"), tmp_path)
    x_NCHW = images(1)
    assert (40 * x_NCHW.astype(np.float64) ** 2).sum() * 40 > np.finfo(np.float16).max
    runner = ExecuTorchCpu().load(file.path, precision="fp16", threads=1)
    np.testing.assert_allclose(runner(x_NCHW), reference_logits(net, x_NCHW), atol=5e-3)
    assert file.notes["precision_rest"] == "1 native_layer_norm (computes in fp32)"
    runner.close()


@pytest.mark.slow
def test_an_operator_that_wants_a_fixed_number_of_images_is_named(tmp_path: Path) -> None:
    """Fails as soon as it works: then nets that make images smaller can be written for any number of them."""

    class Smaller(nn.Module):
        def forward(self, image_NCHW: torch.Tensor) -> torch.Tensor:
            size = nn.functional.interpolate(image_NCHW, size=(2, 2), mode="bilinear", antialias=True)
            return size.flatten(1)

    with pytest.raises(BatchError, match=r"fixed number of images a call alone \(.*_upsample_bilinear2d_aa"):
        ExecuTorchExporter().export(Smaller(), ExportSpec((3, 4, 4), batch_size=None), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_bfloat16_is_still_refused_by_xnnpack() -> None:
    """Fails as soon as it works: then bf16 can be a precision of the format."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower
    from executorch.runtime import Runtime

    net = nn.Conv2d(3, 2, 1).bfloat16().eval().requires_grad_(False)
    program = torch.export.export(net, (torch.zeros(1, 3, 4, 4, dtype=torch.bfloat16),), strict=False)
    with quiet(*LOGGERS), log_kept() as said:
        edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner(enable_bf16=True)])
        loaded = Runtime.get().load_program(bytes(edge.to_executorch().buffer))
        with pytest.raises(RuntimeError, match="Failed to load method forward"):
            loaded.load_method("forward")
    assert any("Failed to create convolution node" in line and "xnn_status_invalid_parameter" in line for line in said)


@pytest.mark.slow
def test_a_file_for_several_images_takes_no_fewer(tmp_path: Path) -> None:
    (file,) = ExecuTorchExporter().export(tiny_module(), ExportSpec((3, 4, 4), batch_size=2), tmp_path)
    runner = ExecuTorchCpu().load(file.path, threads=1)
    assert runner.info.details["images_a_call"] == 2
    assert runner(np.ones((2, 3, 4, 4), dtype=np.float32)).shape == (2, 2)
    with pytest.raises(ArtefactError, match=r"reads images of shape \(2, 3, 4, 4\)"):
        runner(np.ones((1, 3, 4, 4), dtype=np.float32))
    runner.close()


def test_nothing_of_its_machine_code_reaches_the_terminal(tiny_pte: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from edgenas.deploy.plugins import get_runtime; import numpy as np; "
        "r = get_runtime('executorch-cpu').load(Path(sys.argv[1]), threads=1); r(np.zeros((1, 3, 8, 8), np.float32)); r.close()"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(tiny_pte)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_what_others_write_meanwhile_is_not_lost(capfd: pytest.CaptureFixture[str]) -> None:
    import os

    with log_kept() as said:
        thread = threading.Thread(target=os.write, args=(2, b"progress\n[method.cpp:7] it failed\n"))
        thread.start()
        thread.join()
        with log_kept():
            pass  # one within another
    assert said == ["it failed"]
    assert capfd.readouterr().err == "progress\n"


def test_a_line_in_pieces_goes_past_a_progress_bar(capfd: pytest.CaptureFixture[str]) -> None:
    console = Console(stderr=True, force_terminal=True, width=60)
    with Live("bar", console=console, auto_refresh=False), log_kept() as said:  # takes sys.stderr, as edgenas' own bars do
        for piece in ("[", "threadpool.cpp", ":", "66", "] ", "Resetting threadpool", "\n"):
            sys.stderr.write(piece)
    assert said == ["Resetting threadpool"]
    assert "threadpool" not in capfd.readouterr().err


def test_a_file_that_runs_apart_answers_alike_and_a_damaged_one_ends_no_process_but_its_own(tiny_pte: Path, tmp_path: Path) -> None:
    runner = ApartRunner(tiny_pte, "executorch-cpu", "fp32")
    np.testing.assert_allclose(runner(images(1)), reference_logits(tiny_net(), images(1)), atol=1e-5)
    assert (runner.info.runtime, runner.info.precision) == ("executorch-cpu", "fp32")
    runner.close()
    runner.close()
    damaged = tmp_path / "damaged.pte"
    damaged.write_bytes(tiny_pte.read_bytes()[:5000])
    with pytest.raises(ArtefactError, match="does not run"):
        ApartRunner(damaged, "executorch-cpu", "fp32")
