"""Rewrites: each where it applies and where it does not, always with equal outputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from edgenas.exporters._rewriting import TOLERANCE, rewritten
from edgenas.exporters.onnx import OnnxExporter, export_graph
from edgenas.exporters.tensorrt_rtx import TensorRtRtxExporter
from torch import nn

from edgenas.deploy.contracts import ExportSpec
from edgenas.errors import ExportError
from edgenas.graphs.rewriting import ALL, REWRITES, Rewritten, default_rewrites, rewrite
from edgenas.graphs.rewriting.absorbing import pays
from edgenas.spaces import get_space
from edgenas.supernets import build_net

from .nets import DIM, BatchNormed, Convolutions, Net, OneHead, drawn, kinds, outputs

IMAGE = (3, 8, 8)
FOR_ONNX_RUNTIME = default_rewrites("onnxruntime-cpu")


def require_alike(model: onnx.ModelProto, other: onnx.ModelProto, batch_size: int | None = 1) -> None:
    """Check that two graphs give the same numbers, of one image and, where the batch is free, of three."""
    for batch in (1, 3) if batch_size is None else (1,):
        np.testing.assert_allclose(outputs(model, batch), outputs(other, batch), rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def static() -> onnx.ModelProto:
    return export_graph(drawn(Net()), IMAGE, opset=20)


@pytest.fixture(scope="module")
def dynamic() -> onnx.ModelProto:
    return export_graph(drawn(Net()), IMAGE, batch_size=None, opset=20)


@pytest.mark.parametrize("name", ALL)
def test_each_rewrite_alone_and_all_together_leave_the_outputs(
    name: str, static: onnx.ModelProto, dynamic: onnx.ModelProto
) -> None:
    for names in ([name], ALL):
        for model, batches in ((static, (1,)), (dynamic, (1, 3))):
            result = rewrite(model, names)
            onnx.checker.check_model(result.model, full_check=True)
            for batch in batches:
                np.testing.assert_allclose(outputs(result.model, batch), outputs(model, batch), rtol=1e-4, atol=1e-5)


def test_all_rewrites_make_their_places(static: onnx.ModelProto, dynamic: onnx.ModelProto) -> None:
    for model in (static, dynamic):
        result = rewrite(model, ALL)
        # of a block: q, k, v and proj; two convolutions of the MLP; and the head of the net
        assert {name: num for name, num in result.counts.items() if name != "moves"} == {
            "matrix": 9,
            "pointwise": 4,
            "heads": 6,
            "scale": 4,
            "centre": 5,  # two of a block, and the last
        }
        assert "centre 5" in str(result)
        after = kinds(rewrite(model, [name for name in ALL if name != "centre"]).model)
        assert after["Conv"] == 1 + 2 * 3
        assert after["Gemm"] == 9
        assert not {"Slice", "Squeeze", "Mul", "Shape", "Concat"} & after.keys()
        assert "pointwise 4" in str(result)


def test_projections_next_to_no_depthwise_convolution_become_none() -> None:
    mlp = drawn(nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 12), nn.GELU(), nn.Linear(12, 6)))
    result = rewrite(export_graph(mlp, (16, 6), opset=20), ["pointwise"])
    assert "pointwise" not in result.counts
    assert "Conv" not in kinds(result.model)


@pytest.mark.parametrize("batch_size", [1, None])
@pytest.mark.parametrize("bias", [True, False])
def test_one_head_over_few_keys_needs_no_products_of_its_own_for_queries_and_output(bias: bool, batch_size: int | None) -> None:
    model = export_graph(drawn(OneHead(bias=bias)), IMAGE, batch_size=batch_size, opset=20)
    result = rewrite(model, ALL)
    assert result.counts["absorb"] == 2
    onnx.checker.check_model(result.model, full_check=True)
    products = [node.name for node in result.model.graph.node if node.op_type in ("Gemm", "MatMul")]
    assert not [name for name in products if name.startswith(("q/", "proj/"))], products
    assert len(products) == 2 + 2 + 1  # keys and values, scores and what they weight, and the head
    require_alike(result.model, model, batch_size)


@pytest.mark.parametrize(
    ("net", "places"),
    [
        (OneHead(border=1), 1),  # the normalisation keeps its bias, and with it the queries theirs: only the output goes
        (OneHead(border=1, bias=False), 2),  # queries without a bias need no such normalisation
        (OneHead(is_read=True), 0),  # what attention gives has to be made
    ],
)
def test_what_cannot_be_absorbed_stays(net: OneHead, places: int) -> None:
    model = export_graph(drawn(net), IMAGE, opset=20)
    result = rewrite(model, ALL)
    assert result.counts.get("absorb", 0) == places
    require_alike(result.model, model)


def test_several_heads_keep_their_products(static: onnx.ModelProto) -> None:
    assert "absorb" not in rewrite(static, ALL).counts


def test_a_head_absorbs_where_that_takes_fewer_multiply_accumulates() -> None:
    assert pays(num_queries=64, num_keys=16, width=DIM, outside=DIM, num_in=DIM)
    assert not pays(num_queries=64, num_keys=64, width=DIM, outside=8 * DIM, num_in=8 * DIM)  # one narrow head of a wide net


def test_a_net_of_convolutions_stays_as_it_is_but_for_its_mean() -> None:
    model = export_graph(drawn(Convolutions()), IMAGE, opset=20)
    assert rewrite(model, ALL).counts == {"pool": 1}
    others = rewrite(model, [name for name in ALL if name != "pool"])
    assert others.counts == {}
    assert kinds(others.model) == kinds(model)


class Stream(nn.Module):
    """Blocks that add to a stream, a constant among them; ``is_read`` by more than normalisations, or begun by other numbers."""

    def __init__(self, depth: int = 2, *, is_read: bool = False, is_embedded: bool = True) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, DIM, 2, stride=2) if is_embedded else nn.AvgPool2d(2)
        width = DIM if is_embedded else 3
        self.place = nn.Parameter(torch.zeros(1, 16, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth + 1))
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.is_read = is_read

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        x_NLC = self.embed(x_NCHW).flatten(2).transpose(1, 2) + self.place
        for norm, layer in zip(self.norms[:-1], self.layers, strict=True):
            x_NLC = x_NLC + layer(norm(x_NLC)).relu() if self.is_read else x_NLC + layer(norm(x_NLC))
        y_NC = self.norms[-1](x_NLC).mean(1)
        return y_NC + x_NLC.mean(1) if self.is_read else y_NC


@pytest.mark.parametrize("batch_size", [1, None])
@pytest.mark.parametrize(("is_embedded", "means"), [(True, 0), (False, 1)])
def test_streams_that_only_normalisations_read_need_no_mean(is_embedded: bool, means: int, batch_size: int | None) -> None:
    model = export_graph(drawn(Stream(is_embedded=is_embedded)), IMAGE, batch_size=batch_size, opset=20)
    result = rewrite(model, ["centre"])
    assert result.counts["centre"] == 3
    onnx.checker.check_model(result.model, full_check=True)
    after = kinds(result.model)
    assert "LayerNormalization" not in after
    assert after.get("Sub", 0) == means  # where pooled pixels begin the stream, their mean is subtracted
    assert len({node.name for node in result.model.graph.node}) == len(result.model.graph.node)
    require_alike(result.model, model, batch_size)


@pytest.mark.parametrize("net", [Stream(is_read=True), Stream(1, is_embedded=False)])
def test_streams_stay_that_something_else_reads_or_where_means_cost_as_much(net: Stream) -> None:
    result = rewrite(export_graph(drawn(net), IMAGE, opset=20), ["centre"])
    assert "centre" not in result.counts
    assert kinds(result.model)["LayerNormalization"] == len(net.norms)


class Means(nn.Module):
    """Of images as convolutions give them, with and without their axes, and of what lies otherwise or is not a whole image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 8, 3, stride=2), nn.Linear(8, 5)

    def forward(self, image_NCHW: torch.Tensor) -> torch.Tensor:
        features_NCHW = self.conv(image_NCHW)
        kept, dropped = features_NCHW.mean((2, 3), keepdim=True), torch.relu(features_NCHW).mean((-1, -2))
        rows = features_NCHW.mean(3).mean(2) + features_NCHW.permute(0, 2, 3, 1).mean((1, 2))
        return torch.as_tensor(self.head(kept.flatten(1) + dropped + rows))


@pytest.mark.parametrize("batch_size", [1, None])
def test_means_of_images_are_pools(batch_size: int | None) -> None:
    model = export_graph(drawn(Means()), IMAGE, batch_size=batch_size, opset=20)
    assert kinds(model)["ReduceMean"] == 5
    for names in (["pool"], ALL):
        result = rewrite(model, names)
        onnx.checker.check_model(result.model, full_check=True)
        assert result.counts["pool"] == kinds(result.model)["GlobalAveragePool"] == 2
        assert kinds(result.model)["ReduceMean"] == 3
        require_alike(result.model, model, batch_size)


class Rows(nn.Module):
    """Pixels as rows: what a convolution gives is normalised, a sum before an MLP with a depthwise convolution, and its result."""

    def __init__(self, width: int = 8, *, is_image: bool = True) -> None:
        super().__init__()
        self.embed, self.is_image = nn.Conv2d(3, width, 1), is_image
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=eps) for eps in (1e-5, 1e-3, 1e-6))
        self.fc1, self.fc2, self.head = nn.Linear(width, 12), nn.Linear(12, width), nn.Linear(width, 3)
        self.dwconv = nn.Conv2d(12, 12, 3, padding=1, groups=12)

    def forward(self, image_NCHW: torch.Tensor) -> torch.Tensor:
        x_NLC = self.norms[0](self.embed(image_NCHW).flatten(2).transpose(1, 2))
        y_NLC = self.fc1(self.norms[1](x_NLC.relu()))
        if self.is_image:
            y_NLC = self.dwconv(y_NLC.transpose(1, 2).unflatten(2, image_NCHW.shape[2:])).flatten(2).transpose(1, 2)
        return torch.as_tensor(self.head(self.norms[2](x_NLC + self.fc2(y_NLC)).mean(1)))


@pytest.mark.parametrize("batch_size", [1, None])
def test_many_short_rows_beside_convolutions_are_normalised_by_columns(batch_size: int | None) -> None:
    model = export_graph(drawn(Rows()), (3, 45, 45), batch_size=batch_size, opset=20)
    for names, places in ((["columns"], 1), (["columns", "pointwise"], 2), (FOR_ONNX_RUNTIME, 2)):
        result = rewrite(model, names)
        onnx.checker.check_model(result.model, full_check=True)
        assert result.counts["columns"] == places  # the second one meets its convolution where a linear layer is one
        assert kinds(result.model)["LayerNormalization"] == 3 - places
        require_alike(result.model, model, batch_size)
    steps = [node for node in rewrite(model, FOR_ONNX_RUNTIME).model.graph.node if node.name.startswith("norms.1/")]
    assert [node.op_type for node in steps].count("Mul") == 2  # squares and rows: factors went into the weights of what reads them


@pytest.mark.parametrize(
    ("net", "px"),
    [(Rows(), 44), (Rows(65), 45), (Rows(is_image=False), 45)],
    ids=["few rows", "many features", "only the first meets a convolution"],
)
def test_other_rows_are_normalised_as_they_lie(net: Rows, px: int) -> None:
    model = export_graph(drawn(net), (3, px, px), opset=20)
    result = rewrite(model, FOR_ONNX_RUNTIME)
    assert result.counts.get("columns", 0) == int(not net.is_image)
    require_alike(result.model, model)


@pytest.mark.parametrize(
    ("net", "places"),
    [
        (OneHead(), {"columns": 1, "centre": 1}),  # before queries, rows are columns; the reduced image's have no mean
        (Rows(is_image=False), {"centre": 1}),  # of the two ways the one without a mean
    ],
)
def test_rows_are_columns_that_are_not_centred(net: nn.Module, places: dict[str, int]) -> None:
    model = export_graph(drawn(net), (3, 48, 48), opset=20)
    result = rewrite(model, ALL)
    assert {name: num for name, num in result.counts.items() if name in ("columns", "centre")} == places
    require_alike(result.model, model)
    assert rewrite(model, FOR_ONNX_RUNTIME).counts["columns"] == 1


class Turned(nn.Module):
    """Rows of a batch that is not their first axis."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm = nn.Conv2d(3, 8, 1), nn.LayerNorm(8)

    def forward(self, image_NCHW: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.norm(self.embed(image_NCHW).flatten(2).permute(2, 0, 1)).mean(0))


def test_rows_of_a_free_batch_that_is_not_the_first_axis_stay_rows() -> None:
    model = export_graph(drawn(Turned()), (3, 48, 48), batch_size=None, opset=20)
    result = rewrite(model, ["columns"])
    assert result.counts.get("columns", 0) == 0
    for batch in (1, 3):
        np.testing.assert_allclose(outputs(result.model, batch), outputs(model, batch), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, None])
def test_batch_norms_go_into_the_weights_of_what_reads_them(batch_size: int | None) -> None:
    model = export_graph(drawn(BatchNormed()), IMAGE, batch_size=batch_size, opset=20)
    assert kinds(model)["BatchNormalization"] == 2
    for names in (["fold"], ALL):
        result = rewrite(model, names)
        onnx.checker.check_model(result.model, full_check=True)
        assert result.counts["fold"] == 2
        assert "BatchNormalization" not in kinds(result.model)
        assert result.counts.get("moves") == rewrite(model, ["moves"]).counts.get("moves")  # norms are not counted among them
        require_alike(result.model, model, batch_size)


@pytest.mark.parametrize(
    "net",
    [
        BatchNormed("sum"),  # what is normalised has to be made
        BatchNormed("border"),  # zeros of a border are not what the norm would make of zeros
        BatchNormed("groups"),
        BatchNormed(pool=nn.AvgPool2d(2, padding=1)),  # a mean with zeros of a border
        BatchNormed(pool=nn.MaxPool2d(2)),  # a factor may be negative
    ],
    ids=["sum", "border", "groups", "padded pool", "max pool"],
)
def test_a_batch_norm_stays_that_some_reader_cannot_take(net: BatchNormed) -> None:
    model = export_graph(drawn(net), IMAGE, opset=20)
    result = rewrite(model, ["fold"])
    assert result.counts["fold"] == 1  # the last
    assert kinds(result.model)["BatchNormalization"] == 1
    require_alike(result.model, model)


def test_a_mean_without_its_border_passes_what_a_batch_norm_is() -> None:
    model = export_graph(drawn(BatchNormed(pool=nn.AvgPool2d(2, padding=1, count_include_pad=False))), IMAGE, opset=20)
    result = rewrite(model, ["fold"])
    assert result.counts["fold"] == 2
    require_alike(result.model, model)


class Shared(nn.Module):
    """What is multiplied is also read as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 6)

    def forward(self, x_NLC: torch.Tensor) -> torch.Tensor:
        y_NLC = self.fc(x_NLC)
        return y_NLC * 0.5 + y_NLC.relu()


def test_a_factor_of_what_something_else_reads_stays() -> None:
    model = export_graph(drawn(Shared()), (4, 6), opset=20)
    result = rewrite(model, ALL)
    assert "scale" not in result.counts
    np.testing.assert_allclose(outputs(result.model), outputs(model), rtol=1e-5, atol=1e-6)


def test_no_rewrites_and_none_that_is_known_change_nothing(static: onnx.ModelProto) -> None:
    assert rewrite(static, []).model is static
    assert tuple(name for name in ALL if name != "centre") == FOR_ONNX_RUNTIME
    assert default_rewrites("openvino-cpu") == ("moves", "matrix", "pointwise", "centre")
    assert default_rewrites("onnxruntime-cuda") == default_rewrites("tensorrt-rtx") == ()
    with pytest.raises(ExportError, match="there is no rewrite of graphs 'gelu'") as caught:
        rewrite(static, ["gelu"])
    assert "moves, matrix, pointwise, heads, scale, absorb, centre, fold" in str(caught.value.hint)
    assert all(each.says and each.min_opset >= 18 for each in REWRITES.values())


def test_nodes_keep_the_modules_they_come_from(static: onnx.ModelProto) -> None:
    names = [node.name for node in rewrite(static, ALL).model.graph.node]
    assert {"blocks.0.qkv/Gemm", "blocks.0.qkv/Gemm_3", "blocks.1.fc1/Conv", "blocks.1.fc2/Conv", "head/Gemm"} < set(names)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("batch_size", [1, None])
@pytest.mark.parametrize(
    "name", ["pvt-nano", "pvt-elastic-nano", "autoformer-nano", "vitas-nano", "pvt-mobile-nano", "pvt-mobile-star", "pit-nano"]
)
@pytest.mark.slow  # every family is traced
def test_nets_of_every_family_give_what_they_gave(name: str, batch_size: int | None) -> None:
    space = get_space(name)
    task = replace(space.default_task, num_classes=3)
    for genes in space.sample(2, np.random.default_rng(5)):
        net = drawn(build_net(space, task, tuple(int(gene) for gene in genes)))
        model = export_graph(net, (task.in_channels, task.image_px, task.image_px), batch_size=batch_size, opset=20)
        _, notes = rewritten(model, ALL)
        assert float(notes.get("rewrites_proof", 0.0)) < TOLERANCE / 10


def test_a_rewrite_that_changes_the_net_is_caught_and_named(static: onnx.ModelProto) -> None:
    def wrong(model: onnx.ModelProto, names: object) -> Rewritten:
        result = rewrite(model, names)  # type: ignore[arg-type]
        if "heads" in names:  # type: ignore[operator]
            bias = next(tensor for tensor in result.model.graph.initializer if tensor.name.endswith(":bias"))
            values = onnx.numpy_helper.to_array(bias) + 0.1
            bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
        return result

    with pytest.raises(ExportError, match=r"rewrite 'heads' would change the net: outputs differ by .* at most 0.0001"):
        rewritten(static, ALL, wrong)


class Steep(nn.Module):
    """The last digits of a sum, made large."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(64, 8)

    def forward(self, x_NLC: torch.Tensor) -> torch.Tensor:
        return torch.sin((self.fc(x_NLC) * 1e6).mean(1) * 3.0)


def test_a_net_that_makes_rounding_large_is_said_to_do_so() -> None:
    model = export_graph(drawn(Steep()), (16, 64), opset=20)
    with pytest.raises(ExportError, match="cannot be proven on this net, which makes rounding large: noise that differs"):
        rewritten(model, ALL)


def test_a_net_that_gives_no_number_proves_nothing(static: onnx.ModelProto) -> None:
    broken = onnx.ModelProto()
    broken.CopyFrom(static)
    for tensor in broken.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            values = onnx.numpy_helper.to_array(tensor)
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.full_like(values, np.nan), tensor.name))
    with pytest.raises(ExportError, match="cannot be proven on this net: it answers noise with nothing that is a finite number"):
        rewritten(broken, ["moves"])


def test_what_is_not_finite_after_a_rewrite_is_a_change(static: onnx.ModelProto) -> None:
    def broken(model: onnx.ModelProto, names: object) -> Rewritten:
        result = rewrite(model, names)  # type: ignore[arg-type]
        tensor = next(each for each in result.model.graph.initializer if each.name == "head.bias")
        tensor.CopyFrom(onnx.numpy_helper.from_array(np.full(3, np.nan, np.float32), tensor.name))
        return result

    with pytest.raises(ExportError, match="differ by inf"):
        rewritten(static, ALL, broken)


def test_files_note_what_was_rewritten_and_how_equal_it_is(tmp_path: Path) -> None:
    (file,) = OnnxExporter().export(drawn(Net()), ExportSpec(IMAGE), tmp_path)
    assert "pointwise 4" in str(file.notes["rewrites"])
    assert 0 <= float(file.notes["rewrites_proof"]) < TOLERANCE / 10
    (plain,) = OnnxExporter().export(drawn(Net()), ExportSpec(IMAGE, rewrites=()), tmp_path)
    assert "rewrites" not in plain.notes
    assert int(plain.notes["num_nodes"]) > int(file.notes["num_nodes"])


def test_shapes_of_a_free_batch_are_not_made_while_it_runs(dynamic: onnx.ModelProto) -> None:
    result = rewrite(dynamic, ["moves"])
    assert {"Shape", "Concat"} <= kinds(dynamic).keys()
    assert not {"Shape", "Concat"} & kinds(result.model).keys()
    assert result.counts["moves"] > 0


@pytest.mark.slow  # an engine is built
@pytest.mark.parametrize("batch_size", [1, None])
def test_tensorrt_rtx_reads_rewritten_graphs(batch_size: int | None, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    spec = ExportSpec(IMAGE, batch_size, precision="fp16", targets=("sm86",), rewrites=ALL)
    (file,) = TensorRtRtxExporter().export(drawn(Net(1)), spec, tmp_path)
    assert file.path.stat().st_size > 0
    assert "pointwise 2" in str(file.notes["rewrites"])
