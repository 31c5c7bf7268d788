"""What a training run is: everything that, with a seed, decides its outcome."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

# The split of traces/SOURCES.md; the other shipped traces are for validation only.
TRAIN_TRACES = (
    "azfn_batch_a_60s",
    "azfn_idle_spikes_a_60s",
    "azfn_plateau_dips_60s",
    "azfn_ramp_a_60s",
    "azure_llm_conv_1s",
    "nasa_aug95_60s",
    "worldcup98_group_60s",
)


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Settings of PPO (Stable-Baselines3's names) and of the batch of services it sees.

    ``batch_scale`` multiplies the number of services stepped together, ``pool`` is the number
    of loads that episodes are cut from, and ``decisions`` the length of the run in decisions
    of single backends; ``pretrain_windows`` windows of gradient descent go before, on
    ``pretrain_services`` services of one backend and as many backends of services with several.
    """

    decisions: int = 4_000_000
    seed: int = 0
    pretrain_windows: int = 64
    pretrain_services: int = 512
    batch_scale: int = 3
    pool: int = 1024
    n_steps: int = 48
    batch_size: int = 8192
    n_epochs: int = 4
    learning_rate: float = 3e-4
    gamma: float = 0.98
    gae_lambda: float = 0.93
    # Settings glide, so noise costs little and a bonus for it would never let go; but what is
    # deployed is the mean of the choices, and it only is what was trained once they are sure.
    ent_coef: float = 0.0002
    vf_coef: float = 0.2
    clip_range: float = 0.2
    target_kl: float = 0.03
    width: int = 192

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> TrainConfig:
        """Read what ``save`` wrote."""
        return cls(**json.loads(path.read_text()))


PRESETS = {
    "shipped": TrainConfig(),
    # The descent alone, a fourth as long: for trying things.
    "quick": TrainConfig(decisions=0, pretrain_windows=16),
    # A minute's run that shows that everything works; too short to learn much.
    "smoke": TrainConfig(
        decisions=100_000,
        pretrain_windows=1,
        pretrain_services=64,
        batch_scale=1,
        pool=64,
        n_steps=16,
        batch_size=1024,
    ),
}
