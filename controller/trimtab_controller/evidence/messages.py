"""From scorecards and rungs to `trimtab.v1` messages."""

from __future__ import annotations

from dataclasses import asdict

from trimtab_agents.evidence.findings import Interval
from trimtab_controller.evidence.ladder import Rung
from trimtab_controller.evidence.office import Filed
from trimtab_controller.evidence.scorecard import Account, Scorecard, Verdict
from trimtab_controller.messages import mode_name
from trimtab_proto.v1 import controller_pb2 as pb


def scorecard(filed: Filed) -> pb.Scorecard:
    """The latest scorecard."""
    message = _found(filed.card)
    message.computing = filed.computing
    return message


def rung(rung: Rung, filed: Filed) -> pb.Rung:
    """A service on the ladder."""
    return pb.Rung(
        service=rung.service,
        mode=mode_name(rung.mode),
        gates=[pb.Gate(**asdict(gate)) for gate in rung.gates],
        recommendation=rung.recommendation,
        reason=rung.reason,
        computing=filed.computing,
    )


def _found(card: Scorecard) -> pb.Scorecard:
    message = pb.Scorecard(
        service=card.service,
        made_s=card.made_s,
        no_verdict=card.no_verdict,
        certificate=[pb.CertificateCheck(**asdict(check)) for check in card.certificate],
        currency=card.currency,
        days=card.days,
        acted_days=card.acted_days,
        fresh_share=card.fresh_share,
    )
    if card.verdict:
        message.MergeFrom(_verdict(card.verdict))
    return message


def _verdict(verdict: Verdict) -> pb.Scorecard:
    return pb.Scorecard(
        policy_name=verdict.policy_name,
        interventions=verdict.interventions,
        observed=_account(verdict.observed),
        replayed=_account(verdict.replayed),
        policy=_account(verdict.policy),
        saving=_estimate(verdict.saving),
        saved=_estimate(verdict.saved),
        extra_misses=_estimate(verdict.extra_misses),
        by_day=[
            pb.ScorecardDay(
                date=day.date, observed=_account(day.observed), policy=_account(day.policy)
            )
            for day in verdict.by_day
        ],
    )


def _account(account: Account) -> pb.Account:
    return pb.Account(**asdict(account))


def _estimate(interval: Interval) -> pb.Estimate:
    return pb.Estimate(value=interval.value, low=interval.low, high=interval.high)
