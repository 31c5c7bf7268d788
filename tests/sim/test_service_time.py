"""Tables of late shares, against sampled gamma service times."""

from __future__ import annotations

import numpy as np
import pytest

from trimtab_sim.service_time import LateShare, late_along, late_when_exponential

SAMPLES = 400_000
ROW = np.array([0])


@pytest.fixture(scope="module")
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.mark.parametrize("scv", [0.05, 0.25, 1.0, 4.0])
@pytest.mark.parametrize("slo_over_mean", [1.2, 6.0, 40.0])
class TestLateShare:
    def tables(self, slo_over_mean: float, scv: float) -> LateShare:
        late = LateShare(1)
        late.fill(ROW, np.array([slo_over_mean]), np.array([scv]))
        return late

    def service(self, slo_over_mean: float, scv: float, rng: np.random.Generator) -> np.ndarray:
        return rng.standard_gamma(1.0 / scv, SAMPLES) * scv / slo_over_mean

    @pytest.mark.parametrize(("start", "end"), [(0, 0), (0.2, 0.9), (0.5, 3.0), (1.1, 1.1)])
    def test_wait_along_a_line(
        self, slo_over_mean: float, scv: float, start: float, end: float, rng: np.random.Generator
    ) -> None:
        wait = rng.uniform(start, end, SAMPLES)
        expected = np.mean(wait + self.service(slo_over_mean, scv, rng) > 1.0)
        late = self.tables(slo_over_mean, scv)
        assert late_along(late.tail, 0, start, end) == pytest.approx(expected, abs=0.004)

    @pytest.mark.parametrize("rate", [0.1, 1.0, 5.0, 40.0])
    def test_exponential_wait(
        self, slo_over_mean: float, scv: float, rate: float, rng: np.random.Generator
    ) -> None:
        waits = rng.random(SAMPLES) < 0.7
        wait = rng.standard_exponential(SAMPLES) / rate * waits
        expected = np.mean(wait + self.service(slo_over_mean, scv, rng) > 1.0)
        late = self.tables(slo_over_mean, scv)
        found = late_when_exponential(late.tail, late.exponential, 0, 0.7, rate)
        assert found == pytest.approx(expected, abs=0.004)
