"""Budgets follow the engine that computes."""

from typing import Final

from qda_worker.models.base import BatchBudget, InstalledEngines

BUDGET: Final = BatchBudget(1024, 64)


def test_only_engines_in_parts_pause_rarely() -> None:
    assert not BUDGET.for_engines(InstalledEngines()).coarse_pauses
    assert BUDGET.for_engines(InstalledEngines(("torch", "openvino"), batch_tokens=2048)) == BatchBudget(
        2048, 128, coarse_pauses=True
    )


def test_a_batch_of_a_device_costs_in_proportion_to_its_budget() -> None:
    budget = BUDGET.for_engines(InstalledEngines(("cuda",), batch_tokens=16_384, device="cuda"))
    assert (budget.units, budget.overhead, budget.coarse_pauses) == (1024, 16 * BUDGET.overhead, False)
