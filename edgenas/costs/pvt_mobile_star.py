"""Parameters and convolutions of what nets of star blocks have beside the components of other mobile nets."""

from __future__ import annotations

from edgenas.spaces.pvt_mobile_star import StarBlockSpec, StarComponent, StarEntranceSpec, StarHeadSpec, StarStemSpec

Conv = tuple[int, int, int]  # outputs, inputs of each and rows of its kernel


def star_convs(component: StarComponent) -> list[tuple[Conv, int]]:
    """The convolutions of a component, each with the rows of what it gives; all have biases."""
    match component:
        case StarStemSpec():
            return [((component.embed_dim, component.in_channels, 3), component.grid)]
        case StarEntranceSpec():
            return [((component.embed_dim, component.in_dim, 3), component.grid)]
        case StarBlockSpec():
            dim, hidden = component.embed_dim, component.mlp_hidden
            depthwise, widening, narrowing = (dim, 1, component.kernel), (hidden, dim, 1), (dim, hidden, 1)
            return [(conv, component.grid) for conv in (depthwise, widening, widening, narrowing, depthwise)]
        case StarHeadSpec():
            return []


def star_params(component: StarComponent) -> int:
    """Parameters of a component, equal to those of the module built from it."""
    dim = component.embed_dim
    convs = sum(out * each * kernel**2 + out for (out, each, kernel), _ in star_convs(component))
    match component:
        case StarBlockSpec():
            return convs + 2 * 2 * dim  # batch norms after the first depthwise convolution and after the narrowing one
        case StarHeadSpec():
            return 2 * dim + dim * component.num_classes + component.num_classes
    return convs + 2 * dim


def star_macs(component: StarComponent) -> int:
    """MACs of a component for one image; the product of two branches has none, as additions have not."""
    convs = sum(out * each * kernel**2 * side**2 for (out, each, kernel), side in star_convs(component))
    return convs + (component.embed_dim * component.num_classes if isinstance(component, StarHeadSpec) else 0)


def star_largest_tensor(component: StarComponent) -> int:
    """Numbers in the largest tensor that a component reads as an image or writes for one image."""
    convs = max((out * side**2 for (out, _, _), side in star_convs(component)), default=0)
    match component:
        case StarStemSpec():
            return max(component.in_channels * component.in_grid**2, convs)
        case StarEntranceSpec():
            return max(component.in_dim * component.in_grid**2, convs)
        case StarHeadSpec():
            return max(component.embed_dim * component.grid**2, component.num_classes)
    return max(component.embed_dim * component.grid**2, convs)
