"""The decoder of `ParallaxAttention` for a large image, in bands of rows (see `ndic_core.models.bands`).

The search along the row is done first, for the whole image: which camera took x follows from all rows. Then each band
is refined from 1/8 of the resolution to the full one.
"""

import torch
from torch import Tensor

from ndic_core.catalogue import STRIDES
from ndic_core.models.bands import Rows, reach, together
from ndic_core.models.matching import Match
from ndic_core.models.ndic import join
from ndic_core.models.transforms import channels_last
from ndic_core.models.warping import mirrored


def reconstruct_in_bands(model, latent: Tensor, y: Tensor | None, right: bool | None, parts: list[Rows]) -> Tensor:
    """`ParallaxAttention.reconstruct` for one image.

    Args:
        model: the `ParallaxAttention`.
        latent: without its gain, (1, N, H/16, W/16).
        y: (1, 3, H, W), or None.
        right: as there.
        parts: the bands of the image.
    """
    t = model.synthesis_x.stage1(channels_last(latent))
    if y is None:
        (aligned, match), right = model.cams[0].without(t), False
    else:
        aligned, match, right = _search(model, t, y, right, parts)
    return together(parts, lambda part: _band(model, t, y, aligned, match, right, part))


def _search(model, t: Tensor, y: Tensor, right: bool | None, parts: list[Rows]) -> tuple[Tensor, Match, bool]:
    """The aligned features and the match at 1/8, mirrored if the right camera took x, and whether it did."""
    sides = (False, True) if right is None else (right,)
    found, entropy = {side: [] for side in sides}, dict.fromkeys(sides, 0.0)
    for part in parts:
        rows = Rows(*(row // STRIDES[0] for row in part))
        given = rows.wider(margins(model)[0], t.shape[-2])
        inner, band, u = rows.within(given), given.of(t), model.pyramid_y.rows(y, 0, given)
        for side in sides:
            aligned, match = model.cams[0](mirrored(band, side), mirrored(u, side))
            match = match.rows(inner)
            entropy[side] += float(torch.special.entr(match.weights).sum())
            found[side].append((aligned[:, :, inner], *match.brief()))
    side = min(sides, key=entropy.get)  # as in `ParallaxAttention._either_way`
    aligned, *match = (torch.cat(bands, -2) for bands in zip(*found[side], strict=True))
    return aligned, Match(*match), side


def _band(model, t: Tensor, y: Tensor | None, aligned: Tensor, match: Match, right: bool, part: Rows) -> Tensor:
    """Some rows of the reconstruction, from the features and the match at 1/8."""
    _, *of_cams, of_retouch = margins(model)
    height = STRIDES[0] * t.shape[-2]
    # The rows that are needed at 1/2, then at 1/4 and 1/8: those that the next finer scale is computed from.
    kept = [part.wider(of_retouch, height).coarser(height // 2)]
    for margin, stride in zip(reversed(of_cams), reversed(STRIDES[1:]), strict=True):
        kept.insert(0, kept[0].wider(margin, height // stride).coarser(height // stride // 2))
    rows, *kept = kept
    t, aligned, match = rows.of(t), rows.of(aligned), match.rows(slice(*rows))
    for scale, next_rows in enumerate(kept, 1):
        t = model.synthesis_x[scale](join(t, mirrored(aligned, right).to(t)))
        rows = rows.finer()
        if y is None:
            aligned, match = model.cams[scale].without(t)
        else:
            features = mirrored(t, right), mirrored(model.pyramid_y.rows(y, scale, rows), right)
            aligned, match = model.cams[scale](*features, match)
            del features  # as large as all others together
        inner, rows = next_rows.within(rows), next_rows
        t, aligned, match = t[:, :, inner], aligned[:, :, inner], match.rows(inner)
    x_hat = model.synthesis_x[-1](join(t, mirrored(aligned, right).to(t)))
    rows = rows.finer()
    x_hat = model.retouch(x_hat, y if y is None else channels_last(rows.of(y)), match.mirrored(right))
    return x_hat[:, :, part.within(rows)]


def margins(model) -> list[int]:
    """Rows above and below that the search, both refinements and the retouch depend on, each at its own scale."""
    search, *refinements = model.cams
    shift = search.reach[0]  # rows up and down that a match may be located
    found = [reach(search.to_q, search.refine) + shift]
    for layers in (*((cam.to_q, cam.refine) for cam in refinements), (model.retouch,)):
        moved = 0
        if model.retouch.vertical:  # twice the coarser offset, a row of interpolation, and a row that is compared
            moved, shift = 2 * shift + 2, 2 * shift + 1
        found.append(reach(*layers) + moved)
    return found
