"""Chains of layers in a graph that one native kernel computes.

A convolution, the normalization of its channels, the addition of another tensor and relu, in this
order and each but the convolution optional, are one call of `plait.kernels.conv_block` where
nothing else takes what is between them. Numerics stay those of the layers.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp

from plait import activations, kernels
from plait.core.scope import Scope
from plait.errors import ShapeError
from plait.graph import tree
from plait.graph.graph import Graph
from plait.graph.node import Node
from plait.graph.tensor import SymbolicTensor
from plait.kernels.table import is_native
from plait.layers import Activation, Add, BatchNormalization, Conv1D, Conv2D, Conv3D, ReLU

_POLICY = "float32"


class Chain(NamedTuple):
    """Nodes that are computed as one, where the last of them stands."""

    conv: Node
    norm: Node | None
    add: Node | None
    relu: Node | None

    @property
    def nodes(self) -> list[Node]:
        """The nodes that are there, in order."""
        return [node for node in self if node is not None]


def chains(graph: Graph) -> dict[Node, Chain]:
    """Return, for every node of a chain in a graph, the chain; none where no kernel is for them."""
    if not is_native("convolution with normalization, addition and relu"):
        return {}
    takers: dict[SymbolicTensor, list[Node]] = {}
    for node in graph.nodes:
        for tensor in node.inputs:
            takers.setdefault(tensor, []).append(node)
    uses = Counter(graph.outputs)
    uses.update({tensor: len(nodes) for tensor, nodes in takers.items()})
    place = {node: index for index, node in enumerate(graph.nodes)}

    def next_of(node: Node, types: tuple[type, ...]) -> Node | None:
        """Return the only node that takes what `node` makes, if it is a plain call of a type."""
        (tensor,) = node.outputs
        following = takers.get(tensor)
        if uses[tensor] != 1 or not following or type(following[0].layer) not in types:
            return None
        return following[0] if _is_plain(following[0]) else None

    found: dict[Node, Chain] = {}
    for conv in graph.nodes:
        if type(conv.layer) not in (Conv1D, Conv2D, Conv3D) or not _is_plain(conv):
            continue
        if not _is_convolution(conv.layer):
            continue
        norm = add = relu = None
        last = conv
        if conv.layer.activation is activations.linear:
            norm = next_of(last, (BatchNormalization,))
            norm = norm if norm is not None and _normalizes_channels(norm) else None
            last = norm or last
            add = next_of(last, (Add,))
            # Of two chains that are added, the one that is computed last goes on.
            add = add if add is not None and _other(add, last, place) is not None else None
            last = add or last
            relu = next_of(last, (Activation, ReLU))
            relu = relu if relu is not None and _is_relu(relu.layer) else None
        chain = Chain(conv, norm, add, relu)
        found.update(dict.fromkeys(chain.nodes, chain))
    return found


def run(chain: Chain, values: dict[SymbolicTensor, Any], scope: Scope) -> jax.Array | None:
    """Compute a chain; return None, and do nothing, if that has to go layer by layer."""
    conv: Any = chain.conv.layer
    norm: Any = chain.norm.layer if chain.norm is not None else None
    x = values[chain.conv.inputs[0]]
    residual = None
    if chain.add is not None:
        before = (chain.norm or chain.conv).outputs[0]
        residual = values[next(tensor for tensor in chain.add.inputs if tensor is not before)]
    arrays = [x] if residual is None else [x, residual]
    if any(array.dtype != _POLICY or scope.get_mask(array) is not None for array in arrays):
        return None
    try:
        shape = tuple(conv.compute_output_shape(x.shape))
    except ShapeError:  # Layer by layer it names the layer.
        return None
    if residual is not None and residual.shape != shape:
        return None
    bias = None if conv.bias is None else conv.bias.value
    shift, scale, epsilon = bias, None, None
    trains = norm is not None and bool(scope.training) and norm.trainable
    if norm is not None:
        scale = None if norm.gamma is None else norm.gamma.value
        shift = None if norm.beta is None else norm.beta.value
        epsilon = norm.epsilon
        if not trains:
            scale, shift = _inference(norm, scale, shift, bias)
            epsilon = None
    relu = chain.relu is not None or conv.activation is activations.relu
    computed = kernels.conv_block(
        x,
        conv.kernel.value,
        scale,
        shift,
        residual,
        strides=conv.strides,
        padding=conv.padding,
        dilation_rate=conv.dilation_rate,
        epsilon=epsilon,
        relu=relu,
    )
    if computed is None:
        return None
    output, moments = computed
    if moments is not None:
        # A bias before a normalization moves nothing but the mean.
        norm.move(moments.mean if bias is None else moments.mean + bias, moments.variance)
    return output


def _inference(
    norm: BatchNormalization, gamma: Any, beta: Any, bias: Any
) -> tuple[jax.Array, jax.Array]:
    """Return scale and shift of a normalization by moving averages."""
    scale = jax.lax.rsqrt(norm.moving_variance.value + norm.epsilon)
    scale = scale if gamma is None else scale * gamma
    mean = norm.moving_mean.value
    shift = (0.0 if beta is None else beta) - (mean if bias is None else mean - bias) * scale
    return scale, jnp.asarray(shift)


def _is_plain(node: Node) -> bool:
    """Return whether a layer is called on tensors alone, and in float32."""
    layer = node.layer
    return (
        not node.kwargs
        and len(node.args) == 1
        and all(isinstance(leaf, SymbolicTensor) for leaf in tree.flatten(node.args))
        and layer.built
        and layer.compute_dtype == _POLICY
        and layer.activity_regularizer is None
    )


def _is_convolution(layer: Any) -> bool:
    known = (activations.linear, activations.relu)
    return layer.data_format == "channels_last" and layer.activation in known


def _normalizes_channels(node: Node) -> bool:
    layer = cast(BatchNormalization, node.layer)
    return not layer.renorm and layer.axis in (-1, len(node.inputs[0].shape) - 1)


def _is_relu(layer: Any) -> bool:
    if isinstance(layer, ReLU):
        return (layer.max_value, layer.negative_slope, layer.threshold) == (None, 0.0, 0.0)
    return layer.activation is activations.relu


def _other(add: Node, node: Node, place: dict[Node, int]) -> SymbolicTensor | None:
    """Return the second tensor that is added, if it is there when `node` has been computed."""
    if len(add.inputs) != 2 or add.inputs[0].shape != add.inputs[1].shape:
        return None
    others = [tensor for tensor in add.inputs if tensor.node is not node]
    if len(others) != 1:
        return None
    made = others[0].node
    return others[0] if made is None or place.get(made, -1) < place[node] else None
