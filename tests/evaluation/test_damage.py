"""Latents of damaged payloads, up to the channel in which the decoder refuses them."""

import torch

from ndic_core.evaluation.damage import latents_until_refused
from ndic_core.models.coding.rans import SymbolEncoder, Tables

CHANNELS, SIDES = 4, (3, 5)
ROWS = Tables([[0, 20000, 40000, 65000, 65536]] * CHANNELS, [-1] * CHANNELS)


def payload(latent):
    encoder = SymbolEncoder()
    channels = torch.arange(CHANNELS, dtype=torch.int32)[:, None, None].expand(latent.shape)
    encoder.put(latent, channels, ROWS)
    return encoder.finish()


def test_all_channels_are_read_in_order():
    latent = torch.randint(-1, 2, (CHANNELS, *SIDES)).float()
    assert torch.equal(latents_until_refused(payload(latent), ROWS, *SIDES), latent)


def test_channels_before_another_table_are_right():
    latent = torch.randint(-1, 2, (CHANNELS, *SIDES), generator=torch.Generator().manual_seed(1)).float()
    changed = Tables([*ROWS.cdfs[:2], [0, 20001, 40000, 65000, 65536], ROWS.cdfs[3]], ROWS.offsets)
    found = latents_until_refused(payload(latent), changed, *SIDES)
    assert torch.equal(found[:2], latent[:2])
    assert not torch.equal(found[2:], latent[2:])


def test_a_value_that_no_encoder_writes_ends_the_reading():
    escapes = Tables([*ROWS.cdfs[:2], [0, 1, 2, 3, 65536], ROWS.cdfs[3]], ROWS.offsets)  # nearly all are escapes
    refused = 0
    for seed in range(20):
        latent = torch.randint(-1, 2, (CHANNELS, *SIDES), generator=torch.Generator().manual_seed(seed)).float()
        found = latents_until_refused(payload(latent), escapes, *SIDES)
        assert torch.equal(found[:2], latent[:2])
        if found.isnan().any():
            refused += 1
            first = int(found.isnan().flatten(1).any(1).nonzero()[0])
            assert first >= 2
            assert found[first:].isnan().all()
    assert refused > 0
