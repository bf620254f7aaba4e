"""Budgets follow the engine that computes."""

from typing import Final

from qda_worker.models.base import InstalledEngines
from qda_worker.models.batch_budget import BatchBudget

BUDGET: Final = BatchBudget(1024, 64)


def test_only_engines_in_parts_pause_rarely() -> None:
    assert InstalledEngines().budget(BUDGET) == BUDGET
    assert InstalledEngines(("torch", "openvino"), batch_tokens=2048).budget(BUDGET) == BatchBudget(
        2048, 128, padding=0.1, padded_beyond=1024, coarse_pauses=True
    )


def test_padding_costs_little_only_if_openvino_computes_batches() -> None:
    assert InstalledEngines(("openvino",)).budget(BUDGET).padding == 0.1
    assert InstalledEngines(("openvino", "torch")).budget(BUDGET).padding == 1.0


def test_a_batch_of_a_device_costs_in_proportion_to_its_budget() -> None:
    budget = InstalledEngines(("cuda",), batch_tokens=16_384, device="cuda").budget(BUDGET)
    assert (budget.units, budget.overhead, budget.coarse_pauses) == (1024, 16 * BUDGET.overhead, False)


def test_a_batch_costs_its_tokens_and_its_padding() -> None:
    assert BatchBudget(1024, 64).cost([10, 20]) == 40
    assert BatchBudget(1024, 64, padding=0.1).cost([10, 20]) == 31
    assert BatchBudget(1024, 64, padding=0.1, padded_beyond=19).cost([10, 20]) == 40
    assert BatchBudget(1024, 64).cost([]) == 0
