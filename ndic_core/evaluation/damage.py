"""What a decoder reads from a payload that is damaged, or with tables that are not the sender's."""

import torch
from torch import Tensor

from ndic_core.errors import NDICError
from ndic_core.models.coding.rans import SymbolDecoder, Tables


def latents_until_refused(payload: bytes, tables: Tables, height: int, width: int) -> Tensor:
    """The integers that are coded in a payload of one factorised latent, channel by channel.

    Args:
        payload: of a file of one tile; the header is not checked.
        tables: a row for each channel, the sender's or others.
        height, width: of the latent.

    Returns:
        (channels, height, width), float32; NaN from the channel on in which the decoder refuses the payload.

    Raises:
        NDICError: the payload is too short or too long for such a latent.

    Example:
        >>> from ndic_core.models.coding.rans import SymbolEncoder
        >>> tables, encoder = Tables([[0, 30000, 60000, 65536]] * 2, [0, 0]), SymbolEncoder()
        >>> encoder.put(torch.tensor([0, 1, 1, 0]), torch.tensor([0, 0, 1, 1], dtype=torch.int32), tables)
        >>> latents_until_refused(encoder.finish(), tables, 1, 2).tolist()
        [[[0.0, 1.0]], [[1.0, 0.0]]]
    """
    channels = len(tables.cdfs)
    found = torch.full((channels, height, width), torch.nan)
    decoder = SymbolDecoder(payload, found.numel())
    for channel in range(channels):
        try:
            found[channel] = decoder.take(torch.full((height, width), channel, dtype=torch.int32), tables)
        except NDICError:
            break
    return found
