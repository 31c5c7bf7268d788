"""The judge: what of a proposal may be done now."""

from __future__ import annotations

from trimtab_guard import replicas, route
from trimtab_guard.history import History
from trimtab_guard.limits import Limits
from trimtab_guard.model import Proposal, State, Verdict, Want
from trimtab_guard.ration import BOTTOMLESS, Purse, paid, waiting
from trimtab_guard.trust import Wish, choose, present, refusals, undo


def judge(
    proposal: Proposal,
    baseline: tuple[Want, ...],
    state: State,
    limits: Limits,
    history: History,
    now_s: float,
    purse: Purse = BOTTOMLESS,
    known: History | None = None,
) -> Verdict:
    """The allowed decision, and a reason for every change made to the proposal.

    ``baseline`` is what a plain rule wants from the last valid readings; ``history`` is the
    memory of the ticks before this one; ``purse`` is what the other services leave to this one;
    ``known`` is ``history.with_state(state)``, where the caller has it already.
    Pure: the same arguments give the same verdict, and a verdict, judged again in the place of
    its proposal, stays as it is, unless it then has to wait for other services.

    The verdict has one want per backend, in the order of the state. It has none at all when
    the present is not known (``refusals``): a backend that it does not name is left alone.

    What an SRE may ask about the corners:

    - *Present below the minimum*: raised to it at the allowed rate, in doubt as well.
    - *Maximum lowered below the present*: shrinks to it at the allowed rate, without waiting
      for the hold window, since a human said so. In doubt it waits.
    - *Rate window full and the service overloaded*: the present is held. Going further is for
      the autoscaler underneath, which the guard does not limit.
    - *Someone else changed replicas*: their change fills the windows as ours would.
    - *A signal in doubt*: nothing is taken away, whatever anybody wants.
    - *No backend has a ready replica*: the route stays; sending it elsewhere helps nobody.
    - *Enough other services are changing*: this one's wish waits. What the guard does to a
      service that wishes nothing (into its range, away from what cannot serve, the baseline
      in place of a blind or broken policy) does not wait, but its new replicas are paid for.
    """
    refused = tuple(refusals(state, limits, history, now_s))
    if refused:
        return Verdict(limits.service, now_s, (), refused)
    known = known or history.with_state(state)
    wish = choose(proposal, baseline, state, limits, known, now_s)
    verdict = _limited(wish, state, limits, known, now_s)
    # What is left of the wish may be nothing: then there is nothing to wait with.
    now = present(state)
    is_wished = wish.is_policys and verdict.backends != now
    if is_wished and (crowd := purse.crowd(limits.service)):
        nothing = Wish(now, in_doubt=False, reasons=())
        must = _limited(nothing, state, limits, known, now_s)
        verdict = waiting(verdict, must, crowd)
    return paid(verdict, state, limits, purse)


def restore(
    before: tuple[Want, ...], state: State, limits: Limits, history: History, now_s: float
) -> Verdict:
    """What of ``before`` may be put back now: an action is taken back, not replaced by another.

    Shares as they were, at once; replicas to the higher of before and now. All limits hold but
    the step of the route, and backends that cannot serve or carry their share are left out.
    """
    refused = tuple(refusals(state, limits, history, now_s))
    if refused:
        return Verdict(limits.service, now_s, (), refused)
    known = history.with_state(state)
    return _limited(undo(before, state, limits, known, now_s), state, limits, known, now_s)


def _limited(wish: Wish, state: State, limits: Limits, known: History, now_s: float) -> Verdict:
    counts, scaling = replicas.limited(wish, state, limits, known, now_s)
    shares, routing = route.limited(wish, state, limits, known, now_s)
    names = [backend.name for backend in state.backends]
    wants = tuple(map(Want, names, counts, shares))
    return Verdict(limits.service, now_s, wants, (*wish.reasons, *scaling, *routing))
