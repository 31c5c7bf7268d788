"""One scorecard in a process of its own: it takes minutes, and the daemon's loop must not wait.

It is asked on its standard input, for a journal's address may hold a password, and answers on
its standard output; what is wrong with the journal comes as an error's text.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from trimtab_agents.bundle import load as load_bundle
from trimtab_controller.config import load
from trimtab_controller.evidence.appraisal import appraise
from trimtab_controller.evidence.office import Question
from trimtab_controller.evidence.scorecard import Scorecard
from trimtab_controller.records import pack, unpack

# The daemon comes first.
NICE = 10


def answer(question: Question) -> Scorecard:
    """The scorecard. `JournalError`, `ConfigError`, `BundleError`."""
    config = load(Path(question.config))
    bundle = load_bundle(Path(question.policy) if question.policy else None)
    service = config.by_name[question.service]
    return appraise(question.journal, config, service, bundle, question.days, question.now_s)


if __name__ == "__main__":
    os.nice(NICE)
    sys.stdout.write(json.dumps(pack(answer(unpack(Question, json.load(sys.stdin))))))
