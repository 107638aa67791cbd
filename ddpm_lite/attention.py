"""Attention: every query is compared with all keys, and returns a weighted mean of their values.

    weights = softmax(Q K^T / sqrt(d))      (eq-attention-weights)
    output  = weights V                     (eq-attention)

Self-attention: Q, K and V all come from the layer's own pixels. Cross-attention: Q comes from the pixels, K and V
from a context, such as the tokens of a label. One class does both.
"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ddpm_lite._check import check_attention, check_heads, check_tokens


def attention_weights(
    q: Float[Tensor, "*batch queries d"], k: Float[Tensor, "*batch keys d"]
) -> Float[Tensor, "*batch queries keys"]:
    """softmax(Q K^T / sqrt(d)): row i has the weights of all keys for query i (eq-attention-weights).

    Args:
        q: queries.
        k: keys, of the same width d.

    Returns:
        Weights >= 0; each row sums to 1.

    Source: Vaswani et al. (2017), equation 1.
    """
    check_attention(q, k)
    return (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(dim=-1)


def attention(
    q: Float[Tensor, "*batch queries d"], k: Float[Tensor, "*batch keys d"], v: Float[Tensor, "*batch keys width"]
) -> Float[Tensor, "*batch queries width"]:
    """attention_weights(q, k) @ v, by PyTorch's fused kernel, which need not store the weights (eq-attention).

    Args:
        q: queries.
        k: keys.
        v: values, one per key.

    Source: Vaswani et al. (2017), equation 1.
    """
    check_attention(q, k, v)
    return F.scaled_dot_product_attention(q, k, v)


class MultiHeadAttention(nn.Module):
    """h + attention over h's pixels (self), or from h's pixels to a context (cross) (eq-attention).

    Args:
        channels: width of h.
        head_dim: width of one head, a divisor of channels; None is one head.
        groups: groups of the group normalisation before the projections, a divisor of channels.
        eps: epsilon of that normalisation.
        context_dim: width of the context's tokens; None makes it self-attention.

    Raises:
        ValueError: head_dim or groups do not divide channels; h of other channels; a context without context_dim, or
        none with it, or of another shape.

    Source: Vaswani et al. (2017), section 3.2, with the residual connection of Ho et al. (2020)'s code. The parameters
    have the names of diffusers' Attention.
    """

    def __init__(
        self,
        channels: int,
        *,
        head_dim: int | None = None,
        groups: int = 8,
        eps: float = 1e-6,
        context_dim: int | None = None,
    ):
        super().__init__()
        channels, head_dim, groups, eps, context_dim = check_heads(channels, head_dim, groups, eps, context_dim)
        self.heads, self.channels, self.context_dim = channels // head_dim, channels, context_dim
        source = channels if context_dim is None else context_dim
        self.group_norm = nn.GroupNorm(groups, channels, eps=eps)
        self.to_q = nn.Linear(channels, channels)
        self.to_k = nn.Linear(source, channels)
        self.to_v = nn.Linear(source, channels)
        out = nn.Linear(channels, channels)
        self.to_out = nn.ModuleList([out])
        nn.init.zeros_(out.weight)  # so a new layer adds only a constant to h

    def forward(
        self, h: Float[Tensor, "B C H W"], context: Float[Tensor, "B tokens width"] | None = None
    ) -> Float[Tensor, "B C H W"]:
        """Return h plus the projected output of attention; a context is required exactly if there is a context_dim."""
        out = attention(*self.project(h, context))  # (B, heads, HW, d)
        out = self.to_out[0](out.transpose(1, 2).flatten(2))  # (B, HW, C)
        return h + out.transpose(1, 2).reshape(h.shape)

    def project(
        self, h: Float[Tensor, "B C H W"], context: Float[Tensor, "B tokens width"] | None = None
    ) -> tuple[Float[Tensor, "B heads HW d"], Float[Tensor, "B heads keys d"], Float[Tensor, "B heads keys d"]]:
        """Compute Q, K and V of each head, the arguments of `attention` and `attention_weights`."""
        check_tokens(h, context, self.channels, self.context_dim)
        pixels = self.group_norm(h).flatten(2).transpose(1, 2)  # (B, HW, C)
        source = pixels if context is None else context
        parts = self.to_q(pixels), self.to_k(source), self.to_v(source)
        q, k, v = (p.unflatten(2, (self.heads, -1)).transpose(1, 2) for p in parts)  # (B, heads, n, d)
        return q, k, v
