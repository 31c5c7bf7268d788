"""What one write of trimtab's may do, in CEL.

Nothing here depends on a configuration. What that says of the object comes in as
``variables.limit``, which is empty for what is not listed: six numbers (least, most, percent and
replicas up, percent and replicas down), or the Services whose weights may move.
Only what Kubernetes 1.30 has is used: no optional fields, no comprehensions over two variables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trimtab_controller.kubernetes.objects import EPOCH
from trimtab_controller.kubernetes.variants import ROUTE, VARIANT
from trimtab_controller.variants.plan import LONGEST_S

PREFIX = EPOCH.partition("/")[0] + "/"
# The most rules of an HTTPRoute, and the most backends of a rule.
PLACES = 16


@dataclass(frozen=True, slots=True)
class Rule:
    """An expression that must be true, and another that says what is wrong when it is not."""

    expression: str
    says: str


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for one kind of object. ``key`` says which it is, as the tables name it.

    ``variables`` may use ``key``, ``limit``, and those before them.
    """

    key: str
    variables: Mapping[str, str]
    rules: tuple[Rule, ...]


def _same(new: str, old: str, *but: str) -> str:
    """Whether two mappings are alike, but for some members."""
    skip = "".join(f"k == '{each}' || " for each in but)
    return (
        f"dyn({new}).all(k, {skip}k in dyn({old}) && dyn({new})[k] == dyn({old})[k]) && "
        f"dyn({old}).all(k, {skip}k in dyn({new}))"
    )


def _has(owner: str, name: str, otherwise: str) -> str:
    return f"has({owner}.{name}) ? dyn({owner}.{name}) : dyn({otherwise})"


def _alike(name: str, empty: str) -> str:
    new, old = (_has(f"{each}.metadata", name, empty) for each in ("object", "oldObject"))
    return f"({new}) == ({old})"


def _step(percent: int, replicas: int, level: str) -> str:
    """The larger of a share of the level and a number, by their places in the limits."""
    share, number = f"{level} * variables.limit[{percent}] / 100", f"variables.limit[{replicas}]"
    return f"({share} > {number} ? {share} : {number})"


LISTED = Rule("size(variables.limit) > 0", "variables.key + ' is not in trimtab.yaml'")

NOTES = {
    "notes": _has("object.metadata", "annotations", "{}"),
    "noted": _has("oldObject.metadata", "annotations", "{}"),
    "epoch": f"'{EPOCH}' in variables.notes ? variables.notes['{EPOCH}'] : ''",
    "led": f"'{EPOCH}' in variables.noted ? variables.noted['{EPOCH}'] : ''",
}
_OURS = f"k.startsWith('{PREFIX}')"
_AN_EPOCH = "matches('^[0-9]{1,18} .+$')"
NOTED = (
    Rule(
        " && ".join(
            (_alike("labels", "{}"), _alike("finalizers", "[]"), _alike("ownerReferences", "[]"))
        ),
        "'labels, finalizers and owners are not for trimtab to change'",
    ),
    Rule(
        f"variables.notes.all(k, {_OURS} || k in variables.noted && "
        "variables.notes[k] == variables.noted[k]) && "
        f"variables.noted.all(k, {_OURS} || k in variables.notes)",
        f"'only annotations {PREFIX}… are for trimtab to change'",
    ),
    Rule(
        # A leader that was deposed, or has no number, has nothing to write.
        f"variables.epoch.{_AN_EPOCH} && "
        f"(variables.epoch == variables.led || !variables.led.{_AN_EPOCH} || "
        "int(variables.epoch.split(' ')[0]) > int(variables.led.split(' ')[0]))",
        f"'{EPOCH} is \"' + variables.epoch + '\", and was \"' + variables.led + '\"'",
    ),
)

# Of ``floor`` replicas, where there ``was`` another number, and ``level`` is what there is.
REPLICAS = (
    Rule(
        "size(variables.limit) == 0 || variables.floor == variables.was || "
        "(variables.floor > variables.was ? variables.floor <= variables.limit[1] "
        ": variables.floor >= variables.limit[0])",
        "string(variables.floor) + ' replicas are not within ' + string(variables.limit[0]) + "
        "' to ' + string(variables.limit[1])",
    ),
    Rule(
        "size(variables.limit) == 0 || "
        f"variables.floor - variables.level <= {_step(2, 3, 'variables.level')}",
        "'from ' + string(variables.level) + ' to ' + string(variables.floor) + "
        "' replicas is more than may be added at once'",
    ),
    Rule(
        "size(variables.limit) == 0 || "
        f"variables.was - variables.floor <= {_step(4, 5, 'variables.was')}",
        "'from ' + string(variables.was) + ' to ' + string(variables.floor) + "
        "' replicas is more than may be taken away at once'",
    ),
)

_TARGET = "oldObject.spec.scaleTargetRef"
FLOORS = Rules(
    key=(
        f"request.namespace + '/' + {_TARGET}.kind + '.' + (has({_TARGET}.apiVersion) && "
        f"{_TARGET}.apiVersion.contains('/') ? {_TARGET}.apiVersion.split('/')[0] : '') + '/' + "
        f"{_TARGET}.name"
    ),
    variables={
        "floor": _has("object.spec", "minReplicas", "1"),
        "was": _has("oldObject.spec", "minReplicas", "1"),
        "status": _has("oldObject", "status", "{}"),
        # What there is, or the autoscaler wishes for, may be kept: that is no growth.
        "counts": "[variables.was] + ['currentReplicas', 'desiredReplicas'].map(name, "
        "name in variables.status ? variables.status[name] : dyn(0))",
        "level": "variables.counts.filter(n, variables.counts.all(other, n >= other))[0]",
        **NOTES,
    },
    rules=(
        LISTED,
        Rule(
            _same("object.spec", "oldObject.spec", "minReplicas"),
            "'of an autoscaler only minReplicas is for trimtab to change'",
        ),
        *REPLICAS,
        *NOTED,
    ),
)

_OBJECT = (
    "request.namespace + '/' + request.resource.resource + '.' + request.resource.group + '/' + "
    "request.name"
)
SCALES = Rules(
    key=_OBJECT,
    variables={
        "floor": _has("object.spec", "replicas", "0"),
        "was": _has("oldObject.spec", "replicas", "0"),
        "level": "variables.was",
    },
    rules=(LISTED, *REPLICAS),
)
TARGETS = Rules(
    key=_OBJECT,
    variables=NOTES,
    rules=(
        LISTED,
        Rule(
            "object.spec == oldObject.spec",
            "'replicas are written through scale, and nothing else of the spec is for trimtab'",
        ),
        *NOTED,
    ),
)

_NEW, _OLD = "object.spec.rules", "oldObject.spec.rules"
_NEW_REFS, _OLD_REFS = f"{_NEW}[i].backendRefs", f"{_OLD}[i].backendRefs"


def _each_backend(condition: str) -> str:
    """Whether ``condition``, of rule i and backend j, holds wherever there is one."""
    return (
        f"variables.places.all(i, i >= size({_NEW}) || !has({_NEW_REFS}) || "
        f"variables.places.all(j, j >= size({_NEW_REFS}) || ({condition})))"
    )


def _shaped(*changing: str, says: str) -> Rule:
    """No rule is other than it was, but for its weights and for what is ``changing`` otherwise."""
    return Rule(
        f"{_same('object.spec', 'oldObject.spec', 'rules')} && "
        f"size({_NEW}) == size({_OLD}) && variables.places.all(i, i >= size({_NEW}) || "
        f"{_same(f'{_NEW}[i]', f'{_OLD}[i]', 'backendRefs', *changing)} && "
        f"has({_NEW_REFS}) == has({_OLD_REFS}) && "
        f"(!has({_NEW_REFS}) || size({_NEW_REFS}) == size({_OLD_REFS}))) && "
        + _each_backend(_same(f"{_NEW_REFS}[j]", f"{_OLD_REFS}[j]", "weight")),
        f"'of a route only {says} are for trimtab to change'",
    )


WEIGHTS = (
    Rule(
        _each_backend(
            f"{_NEW_REFS}[j].name in variables.limit || {_NEW_REFS}[j] == {_OLD_REFS}[j]"
        ),
        "'only weights of ' + variables.limit.join(', ') + ' are for trimtab to change'",
    ),
    Rule(
        f"{_NEW}.all(rule, !has(rule.backendRefs) || "
        "rule.backendRefs.exists(backend, !has(backend.weight) || backend.weight > 0))",
        "'the weights of a rule are all 0'",
    ),
)


def _total(refs: str) -> str:
    """The sum of a rule's weights, written out: standard CEL cannot add up a list."""
    return " + ".join(
        f"({j} < size({refs}) ? {_weight(f'{refs}[{j}]')} : 0)" for j in range(PLACES)
    )


def _weight(backend: str) -> str:
    return f"(has({backend}.weight) ? dyn({backend}.weight) : dyn(1))"


def _totals(rules: str, refs: str) -> str:
    return f"variables.places.map(i, i < size({rules}) && has({refs}) ? {_total(refs)} : 0)"


# How far the share of backend j of rule i moves, times 1000 and both totals.
_MOVE = (
    f"({_weight(f'{_NEW_REFS}[j]')} * variables.totalled[i] - "
    f"{_weight(f'{_OLD_REFS}[j]')} * variables.totals[i]) * 1000"
)
# Weights are rounded: a thousandth more is no further move.
_REACH = "(variables.step[0] + 1) * variables.totals[i] * variables.totalled[i]"
STEP = Rule(
    "size(variables.step) == 0 || "
    + _each_backend(
        "variables.totals[i] * variables.totalled[i] == 0 || "
        f"{_MOVE} <= {_REACH} && -{_MOVE} <= {_REACH}"
    ),
    "'a share moves by more than ' + string(variables.step[0]) + ' thousandths'",
)
TOTALS = {"totals": _totals(_NEW, _NEW_REFS), "totalled": _totals(_OLD, _OLD_REFS)}

_COPIES = "matches('^' + stem + 'r[0-9]+-[0-9]+$')"


def _filters(rules: str, condition: str) -> str:
    """Those of rule i of which a ``condition`` of filter f is true."""
    return f"(has({rules}[i].filters) ? dyn({rules}[i].filters) : dyn([])).filter(f, {condition})"


# Filter f makes copies for a variant of one of the route's own Services, and does nothing else.
_COPY = (
    "has(f.requestMirror) && has(f.requestMirror.fraction) && "
    "dyn(f).all(k, k in ['type', 'requestMirror']) && "
    "dyn(f.requestMirror).all(k, k in ['backendRef', 'fraction']) && "
    "dyn(f.requestMirror.backendRef).all(k, k in ['group', 'kind', 'name', 'port']) && "
    f"variables.stem.exists(stem, f.requestMirror.backendRef.name.{_COPIES})"
)
COPIES = Rule(
    f"variables.places.all(i, i >= size({_NEW}) || i >= size({_OLD}) || "
    f"{_filters(_NEW, f'!({_COPY})')} == {_filters(_OLD, f'!({_COPY})')})",
    "'of filters only those that copy for variants are for trimtab to change'",
)


def routes(*, weight_step: bool, variants: bool) -> Rules:
    """Of routes: their weights, step by step or at once, and perhaps copies for variants."""
    shaped = _shaped("filters", says="weights and copies") if variants else _shaped(says="weights")
    steps = (STEP,) if weight_step else ()
    return Rules(
        key="request.namespace + '/' + request.name",
        variables={"places": str([*range(PLACES)]), **NOTES, **(TOTALS if weight_step else {})},
        rules=(LISTED, shaped, *WEIGHTS, *NOTED, *steps, *((COPIES,) if variants else ())),
    )


_MADE = "(request.operation == 'DELETE' ? oldObject : object)"
_LABELS = f"(has({_MADE}.metadata.labels) ? dyn({_MADE}.metadata.labels) : dyn({{}}))"
_POD_LABELS = "dyn(object.spec.template.metadata.labels)"
_NEW_ONE = "request.operation != 'CREATE' || request.resource.resource != "
VARIANTS = Rules(
    key=f"request.namespace + '/' + ('{ROUTE}' in {_LABELS} ? {_LABELS}['{ROUTE}'] : '')",
    variables={"made": _MADE, "labels": _LABELS},
    rules=(
        LISTED,
        Rule(
            f"variables.stem.exists(stem, request.name.{_COPIES}) && "
            f"'{VARIANT}' in variables.labels && variables.labels['{VARIANT}'] == request.name",
            "'trimtab makes and deletes nothing but variants: ' + request.name",
        ),
        Rule("request.operation != 'UPDATE'", "'a variant never changes'"),
        Rule(
            f"{_NEW_ONE}'jobs' || has(object.spec.activeDeadlineSeconds) && "
            f"object.spec.activeDeadlineSeconds <= {round(LONGEST_S)}",
            f"'the pods of a variant end within {round(LONGEST_S)} s'",
        ),
        Rule(
            # The API server's own come on top.
            f"{_NEW_ONE}'jobs' || {_POD_LABELS}.all(k, k in variables.labels && "
            f"variables.labels[k] == {_POD_LABELS}[k] || k.startsWith('batch.kubernetes.io/') || "
            "k in ['controller-uid', 'job-name'])",
            "'the pods of a variant have its labels and no others'",
        ),
        Rule(
            f"{_NEW_ONE}'services' || object.spec.selector == dyn(variables.labels) && "
            "!has(object.spec.externalIPs) && "
            "(!has(object.spec.type) || object.spec.type == 'ClusterIP')",
            "'the Service of a variant has its pods, inside of the cluster'",
        ),
    ),
)

NOTHING = Rules(
    key="request.namespace + '/' + request.name",
    variables={},
    rules=(Rule("false", "'trimtab makes and deletes nothing: ' + variables.key"),),
)
