"""The tokens of a batch become rows and the rows places again, whatever the lengths of the texts."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from qda_worker.models.engines.unpadding import unpad


@given(st.lists(st.integers(1, 70), min_size=1, max_size=30), st.booleans())
def test_each_token_has_a_row_and_finds_it_again(lengths: list[int], padded_left: bool) -> None:
    tokens, width = max(lengths), 3
    states = torch.arange(len(lengths) * tokens * width).float().reshape(len(lengths), tokens, width)
    mask = torch.zeros(len(lengths), 1, tokens, tokens, dtype=torch.bool)
    for row, length in zip(mask, lengths, strict=True):
        row[:, :, tokens - length :] = padded_left
        row[:, :, :length] |= not padded_left

    batch = unpad(states, mask)

    readable = mask[:, 0, 0].numpy()
    assert np.array_equal(batch.states[0, batch.row_of_place][readable], states.numpy()[readable])
    # What attention computed in the places comes back to the rows.
    assert np.array_equal(states.numpy().reshape(-1, width)[batch.place_of_row], batch.states[0])
    assert np.array_equal(batch.readable[:, 0, 0], readable)
    count = batch.states.shape[1]
    assert sum(lengths) <= count <= sum(lengths) * 33 / 32 + 1
    assert count <= 64 or not count % (1 << (count.bit_length() - 6))


def test_rows_that_were_rounded_up_to_the_number_of_places_are_not_taken_for_all_places() -> None:
    mask = torch.ones(2, 1, 1, 33, dtype=torch.bool)
    mask[0, :, :, 32] = False
    states = torch.arange(66.0).reshape(2, 33, 1)

    batch = unpad(states, mask)

    assert batch.states.shape == (1, 66, 1)
    assert batch.states[0, batch.row_of_place[1, 0]].item() == 33


def test_a_batch_without_padding_is_not_copied() -> None:
    states = torch.randn(2, 5, 3)
    batch = unpad(states, None)
    assert np.shares_memory(batch.states, states.numpy())
    assert batch.readable.all()
    assert batch.place_of_row.tolist() == batch.row_of_place.ravel().tolist() == list(range(10))


def test_numbers_of_rows_are_few() -> None:
    counts = {unpad(torch.zeros(1, tokens, 1), None).states.shape[1] for tokens in range(1, 1025)}
    assert len(counts) == 63 + 4 * 32 + 1  # exact up to 64
