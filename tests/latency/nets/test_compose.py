from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from edgenas.exporters._files import read_source
from edgenas.exporters.onnx import OnnxExporter, export_graph
from edgenas.exporters.onnxruntime import OnnxRuntimeCpu, in_precision
from torch import nn

from edgenas.deploy.contracts import ExportSpec
from edgenas.errors import ArtefactError, ExportError
from edgenas.graphs.rewriting import ALL, default_rewrites
from edgenas.latency import ComponentGraphs, ComposedOnnx, Target, TimingSettings, measure_nets, stitch
from edgenas.latency.measuring import Workshop
from edgenas.latency.nets import INLINE_BYTES, drawn_kind
from edgenas.latency.nets.compose import PORTION
from edgenas.latency.nets.plan import components_of, is_block
from edgenas.latency.nets.stitching import cut_chain
from edgenas.latency.timing.measure import Measurements
from edgenas.spaces import SearchSpace, Task, get_space
from edgenas.spaces.pvt import BlockSpec, HeadSpec, PatchEmbedSpec, PvtSpec, StageNormSpec, StageSpec
from edgenas.supernets import family
from edgenas.supernets.pvt_net import PvtNet, build_component, component_input_shape

BLOCK = BlockSpec(8, 8, 2, 8, "pool", 3, 16, relu=True)
WIDER = BlockSpec(8, 8, 2, 16, "pool", 3, 32, relu=True)
LATER = BlockSpec(4, 16, 2, 16, "conv", 2, 32, relu=False)
STAGES = (
    StageSpec(PatchEmbedSpec(3, 8, 7, 4, 32, 8, reads_image=True), (BLOCK, WIDER), StageNormSpec(8, 8)),
    StageSpec(PatchEmbedSpec(8, 16, 3, 2, 8, 4, reads_image=False), (LATER,), StageNormSpec(4, 16)),
)
SPEC = PvtSpec(Task(3), STAGES, HeadSpec(4, 16, (8,), (0.5,), 3))
FRAME = tuple(component for component in SPEC.components if not isinstance(component, BlockSpec))


def chain_module(components: Sequence[Any]) -> nn.Sequential:
    torch.manual_seed(0)
    chain = nn.Sequential(*[build_component(component) for component in components])
    with torch.no_grad():
        for parameter in chain.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return chain.eval()


def as_net(chain: nn.Sequential) -> PvtNet:
    """The whole net with the weights of the chain."""
    net = PvtNet(SPEC).eval()
    first, block, wider, norm1, second, later, norm2, head = chain
    parts = {"patch_embed": first, "stages.0.blocks.0": block, "stages.0.blocks.1": wider, "stages.0.norm": norm1}
    parts |= {"stages.1.downsample": second, "stages.1.blocks.0": later, "stages.1.norm": norm2, "head": head[1]}
    net.load_state_dict({f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()})
    return net


@pytest.fixture(scope="module")
def traced() -> onnx.ModelProto:
    return export_graph(chain_module(SPEC.components), (3, 32, 32))


@pytest.fixture
def graphs(traced: onnx.ModelProto, tmp_path: Path) -> ComponentGraphs:
    graphs = ComponentGraphs(lambda components: traced, tmp_path / "cache")
    graphs.prepare(SPEC.components)
    return graphs


def logits(path: Path, images_NCHW: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    runner = OnnxRuntimeCpu().load(path, threads=1)
    try:
        return runner(images_NCHW)
    finally:
        runner.close()


def test_a_stitched_net_is_the_exported_net(graphs: ComponentGraphs, tmp_path: Path) -> None:
    images_NCHW = np.random.default_rng(0).standard_normal((1, 3, 32, 32)).astype(np.float32)
    net = as_net(chain_module(SPEC.components))
    whole = export_graph(net, (3, 32, 32))
    stitched = graphs.net(SPEC.components)
    onnx.checker.check_model(stitched, full_check=True)
    assert Counter(node.op_type for node in stitched.graph.node) == Counter(node.op_type for node in whole.graph.node)
    path = ComposedOnnx(graphs, tmp_path)(SPEC.components)
    expected = net(torch.from_numpy(images_NCHW)).detach().numpy()
    np.testing.assert_allclose(logits(path, images_NCHW), expected, atol=1e-5)


def test_a_repeated_block_has_its_own_weights_and_shapes_are_kept(graphs: ComponentGraphs) -> None:
    once = graphs.net([BLOCK])
    twice = graphs.net([BLOCK, BLOCK])
    assert len(twice.graph.initializer) == 2 * len(once.graph.initializer)
    assert len({tensor.name for tensor in twice.graph.initializer}) == len(twice.graph.initializer)
    inner = {name for node in twice.graph.node for name in node.output} - {"logits"}
    assert inner == {info.name for info in twice.graph.value_info}


def test_components_are_traced_once_and_a_damaged_cache_file_is_traced_again(traced: onnx.ModelProto, tmp_path: Path) -> None:
    asked: list[Sequence[Hashable]] = []

    def trace(components: Sequence[Hashable]) -> onnx.ModelProto:
        asked.append(components)
        return traced

    assert ComponentGraphs(trace, tmp_path).prepare(SPEC.components, always=FRAME) == len(SPEC.components)
    assert ComponentGraphs(trace, tmp_path).prepare(SPEC.components, always=FRAME) == 0
    assert len(asked) == 1
    next(iter(tmp_path.glob("*.onnx"))).write_bytes(b"\x08")
    assert ComponentGraphs(trace, tmp_path).prepare(SPEC.components, always=SPEC.components) == 1
    assert len(asked) == 2


def test_only_what_is_missing_is_traced_with_the_frame(tmp_path: Path, traced: onnx.ModelProto) -> None:
    ComponentGraphs(lambda components: traced, tmp_path).prepare(SPEC.components)
    other = BlockSpec(8, 8, 2, 8, "pool", 2, 16, relu=True)
    asked: list[Hashable] = []

    def trace(components: Sequence[Hashable]) -> onnx.ModelProto:
        asked.extend(components)
        return export_graph(chain_module(components), (3, 32, 32))

    chain = [SPEC.components[0], BLOCK, other, *SPEC.components[2:]]
    assert ComponentGraphs(trace, tmp_path).prepare(chain, always=FRAME) == 1
    assert asked == [FRAME[0], other, *FRAME[1:]]


def test_long_chains_are_traced_in_portions_that_hold_together(tmp_path: Path, traced: onnx.ModelProto) -> None:
    blocks = [BlockSpec(8, 8, 2, 8, "pool", 3, hidden, relu=True) for hidden in range(1, 2 * PORTION + 2)]
    chain = [FRAME[0], *blocks, *FRAME[1:]]
    graphs = ComponentGraphs(lambda components: traced, tmp_path)
    portions = graphs.portions(chain, always=FRAME)
    assert [sum(isinstance(part, BlockSpec) for part in portion) for portion in portions] == [13, 14, 14]
    assert [part for portion in portions for part in portion if isinstance(part, BlockSpec)] == blocks
    for portion in portions:
        assert [part for part in portion if not isinstance(part, BlockSpec)] == list(FRAME)
    assert all(component_input_shape(after) == component_output(before) for before, after in pairwise(portions[0]))
    graphs.prepare(SPEC.components)
    assert graphs.missing([*chain, *chain]) == [block for block in blocks if block != BLOCK]
    assert graphs.portions(SPEC.components, always=FRAME) == []
    fresh = ComponentGraphs(lambda components: traced, tmp_path / "none")
    assert fresh.portions(SPEC.components, always=SPEC.components) == [SPEC.components]


def component_output(component: Any) -> tuple[int, ...]:
    image = torch.zeros(1, *component_input_shape(component))
    return tuple(build_component(component).eval()(image).shape[1:])


def test_every_piece_takes_and_gives_what_its_component_does(traced: onnx.ModelProto) -> None:
    for piece, component in zip(cut_chain(traced, len(SPEC.components)), SPEC.components, strict=True):
        onnx.checker.check_model(piece, full_check=True)
        dims = tuple(dim.dim_value for dim in piece.graph.input[0].type.tensor_type.shape.dim)
        assert dims == (1, *component_input_shape(component))


def test_nets_with_drawn_weights_read_them_from_one_file_and_every_copy_of_a_block_its_own_part(tmp_path: Path) -> None:
    wide = BlockSpec(8, 64, 2, 64, "pool", 3, 128, relu=True)
    chain = (replace(FRAME[0], embed_dim=64), wide, wide, replace(FRAME[1], embed_dim=64))

    def trace(components: Sequence[Hashable]) -> onnx.ModelProto:
        module = chain_module(components)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.uniform_(0.01, 0.05)
        return export_graph(module, (3, 32, 32))

    graphs = ComponentGraphs(trace, tmp_path / "cache")
    graphs.prepare(list(dict.fromkeys(chain)))
    build = ComposedOnnx(graphs, tmp_path)
    long, short = build(chain), build((*chain[:2], chain[3]))
    assert {path.name for path in tmp_path.glob("*.*")} == {long.name, short.name, "weights.bin"}
    inline, outer = graphs.net(chain), onnx.load(long, load_external_data=False)
    assert [node.op_type for node in outer.graph.node] == [node.op_type for node in inline.graph.node]
    places = [{entry.key: entry.value for entry in tensor.external_data} for tensor in outer.graph.initializer]
    parts = sorted((int(place["offset"]), int(place["length"])) for place in places if place)
    assert len(parts) >= 8
    assert all(start + length <= after for (start, length), (after, _) in pairwise(parts))
    whole, packed = inline.ByteSize(), build.bytes_of(long)
    assert 0.9 * whole < packed < 1.5 * whole
    assert long.stat().st_size < 0.5 * whole
    loaded = onnx.load(long)
    images_NCHW = np.random.default_rng(0).standard_normal((1, 3, 32, 32)).astype(np.float32)
    onnx.save(loaded, tmp_path / "inline.onnx")
    np.testing.assert_array_equal(logits(long, images_NCHW), logits(tmp_path / "inline.onnx", images_NCHW))
    assert in_precision(read_source(long, "a runtime"), "fp32") == loaded.SerializeToString()
    (tmp_path / "weights.bin").unlink()
    for read in (lambda: read_source(long, "a runtime"), lambda: logits(long, images_NCHW)):
        with pytest.raises(ArtefactError):
            read()


def test_what_does_not_fit_together_is_refused(graphs: ComponentGraphs, traced: onnx.ModelProto) -> None:
    with pytest.raises(ValueError, match="link 1 takes"):
        stitch([graphs(BLOCK), graphs(LATER)])
    with pytest.raises(ValueError, match="at least one"):
        stitch([])
    with pytest.raises(ExportError, match="link 8 of 9 left no parameters"):
        cut_chain(traced, len(SPEC.components) + 1)


def test_real_sessions_are_timed(graphs: ComponentGraphs, tmp_path: Path) -> None:
    build = ComposedOnnx(graphs, tmp_path)
    sources = [build(FRAME), build(SPEC.components)]
    target = Target(OnnxRuntimeCpu(), np.zeros((1, 3, 32, 32), dtype=np.float32), threads=1)
    settings = TimingSettings(visits=3, runs=5)
    *_, last = measure_nets(target, sources, rng=np.random.default_rng(0), settings=settings)
    assert isinstance(last, Measurements)
    small, large = last.nets
    assert 0 < small.min_ms <= small.p50_ms <= small.p95_ms
    assert large.relative > small.relative > 0
    assert last.info.runtime == "onnxruntime-cpu"


@pytest.mark.parametrize(
    "name",
    [
        *("pvt-nano", "vitas-nano"),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("pvt-elastic-nano", "pvt-mobile-nano", "pvt-mobile-star", "autoformer-nano", "pit-nano")
        ),
    ],
)  # that components chain into the net is asked of every family's supernet
def test_nets_of_every_family_are_stitched_as_they_are_exported(name: str, tmp_path: Path) -> None:
    space = get_space(name)
    net = components_of(space, space.sample(1, np.random.default_rng(3))[0], space.default_task)
    chain = tuple(dict.fromkeys(net))
    skeleton = tuple(component for component in net if not is_block(space, component))
    module = drawn(chain, space)
    whole = export_graph(module, input_shape(space, chain[0]))
    graphs = ComponentGraphs(lambda links: whole, tmp_path, input_shape=partial(input_shape, space))
    graphs.prepare(chain, always=skeleton)
    stitched = graphs.net(chain)
    onnx.checker.check_model(stitched, full_check=True)
    assert [node.op_type for node in stitched.graph.node] == [node.op_type for node in whole.graph.node]
    path = tmp_path / "net.onnx"
    onnx.save(stitched, path)
    image = np.random.default_rng(0).standard_normal((1, *input_shape(space, chain[0]))).astype(np.float32)
    with torch.no_grad():
        expected = module(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(logits(path, image), expected, rtol=1e-4, atol=1e-4)
    # without blocks the same components are cut at the same places
    bare = export_graph(drawn(skeleton, space), input_shape(space, skeleton[0]))
    shapes = [input_shape(space, component) for component in skeleton]
    for piece, component in zip(cut_chain(bare, len(skeleton), shapes), skeleton, strict=True):
        dims = tuple(dim.dim_value for dim in piece.graph.input[0].type.tensor_type.shape.dim)
        assert dims == (1, *input_shape(space, component))
    first = next(place for place, component in enumerate(chain) if is_block(space, component))
    onnx.checker.check_model(graphs.net((*chain[: first + 1], *chain[first:])), full_check=True)


def input_shape(space: SearchSpace, component: Hashable) -> tuple[int, ...]:
    shape: tuple[int, ...] = family(space).component_input_shape(component)
    return shape


def drawn(components: Sequence[Any], space: SearchSpace) -> nn.Sequential:
    """As for tracing: no two parameters are equal, none is all zeros or ones."""
    chain = nn.Sequential(*(family(space).build_component(component) for component in components)).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in [*chain.parameters(), *(b for n, b in chain.named_buffers() if n.endswith(("running_mean", "running_var")))]:
            tensor.copy_(torch.rand(tensor.shape, generator=generator) * 0.04 + 0.01)
    return chain


def test_nodes_are_called_after_their_place_and_their_module(graphs: ComponentGraphs) -> None:
    names = [node.name for node in graphs.net(SPEC.components).graph.node]
    assert {"0.proj/Conv", "1.attn.q/MatMul", "2.mlp.fc1/MatMul", "2.Add_2", "6.LayerNormalization"} < set(names)
    assert len(set(names)) == len(names)
    repeated = [*SPEC.components[:2], BLOCK, *SPEC.components[2:]]
    assert "2.attn.q/MatMul" in [node.name for node in graphs.net(repeated).graph.node]


@pytest.mark.parametrize("rewrites", [None, ALL])
@pytest.mark.parametrize("name", ["autoformer-nano", "pvt-mobile-star", pytest.param("pvt-nano", marks=pytest.mark.slow)])
def test_what_is_timed_is_rewritten_as_what_ships(name: str, rewrites: tuple[str, ...] | None, tmp_path: Path) -> None:
    space, cache = get_space(name), tmp_path / "cache"
    shop = Workshop(
        space, space.default_task, OnnxRuntimeCpu(), "fp32", 1, opset=20, rewrites=rewrites, cache=cache, scratch=tmp_path
    )
    made = default_rewrites("onnxruntime-cpu") if rewrites is None else rewrites
    net = components_of(space, space.sample(1, np.random.default_rng(3))[0], space.default_task)
    for _ in shop.prepare_chains([net]):
        pass
    assert shop.rewrites == made
    assert shop.graph_details == {"opset": 20, "rewrites": list(made)}
    path = shop.build(net)
    assert isinstance(path, Path)
    timed, packed = onnx.load(path, load_external_data=False), shop.graph(net)
    whole = drawn(net, space)
    (shipped,) = OnnxExporter().export(whole, ExportSpec(input_shape(space, net[0]), rewrites=rewrites), tmp_path)
    expected = Counter(node.op_type for node in onnx.load(shipped.path).graph.node)
    assert Counter(node.op_type for node in timed.graph.node) == expected
    assert Counter(node.op_type for node in packed.graph.node) == expected
    made_of = [each for each in packed.graph.initializer if each.name.endswith((":weight", ":unit"))]
    scaled = [each for each in made_of if len(each.raw_data) >= INLINE_BYTES]
    assert scaled
    is_drawn = [drawn_kind(tensor) == "f4" for tensor in scaled]
    assert all(is_drawn) or "centre" in made  # centred numbers are signed: kits, whose runtimes do not get them, would carry them
    runner = OnnxRuntimeCpu().load(path, threads=1)
    assert np.isfinite(runner(np.ones((1, *input_shape(space, net[0])), dtype=np.float32))).all()
    runner.close()
    plain = Workshop(
        space, space.default_task, OnnxRuntimeCpu(), "fp32", 1, opset=20, rewrites=(), cache=tmp_path, scratch=tmp_path
    )
    assert plain.graph_details == {"opset": 20}
