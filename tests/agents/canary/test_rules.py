import numpy as np
import pytest

from trimtab_agents.canary import Rules, Tolerance


def test_differences_ascend_and_have_names() -> None:
    rules = Rules()
    assert rules.grid.shape[0] == len(rules.metrics) == len(rules.to_show)
    assert (np.diff(rules.grid, axis=1) > 0.0).all()
    shown = [name for name, must in zip(rules.metrics, rules.to_show, strict=True) if must]
    assert shown == ["latency p25", "latency p50", "latency p75", "latency p90", "latency p95",
                     "errors"]  # fmt: skip


@pytest.mark.parametrize(
    ("worse", "fault"),
    [
        pytest.param(Tolerance(0.2, 0.001, 0.1), "latency: 0.2", id="more than is fine"),
        pytest.param(Tolerance(0.05, -0.1, 0.1), "errors: -0.1 more", id="better is worse"),
    ],
)
def test_what_does_not_matter_is_less_than_what_is_fine(worse: Tolerance, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Rules(worse=worse)
