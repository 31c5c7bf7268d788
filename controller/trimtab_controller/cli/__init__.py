"""The command line. Every command loads on first use: `--help` and errors stay quick."""

from __future__ import annotations

from importlib import import_module

import click


class LazyGroup(click.Group):
    """A group whose commands are named as ``module:attribute`` and imported when asked for."""

    def __init__(self, *args: object, lazy: dict[str, str], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # click's own arguments
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Return the names, in the order in which a newcomer needs them."""
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one command."""
        if cmd_name not in self._lazy:
            return None
        module, _, attribute = self._lazy[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    lazy={
        "up": "trimtab_controller.cli.up:up",
        "daemon": "trimtab_controller.cli.extras:daemon",
        "console": "trimtab_controller.cli.console:console",
        "status": "trimtab_controller.cli.status:status",
        "watch": "trimtab_controller.cli.watching:watch",
        "explain": "trimtab_controller.cli.explain:explain",
        "why": "trimtab_controller.cli.why:why",
        "forecast": "trimtab_controller.cli.forecast:forecast",
        "mode": "trimtab_controller.cli.control:mode",
        "renew": "trimtab_controller.cli.control:renew",
        "stop": "trimtab_controller.cli.control:stop",
        "abort": "trimtab_controller.cli.control:abort",
        "resume": "trimtab_controller.cli.control:resume",
        "pending": "trimtab_controller.cli.approvals:pending",
        "approve": "trimtab_controller.cli.approvals:approve",
        "reject": "trimtab_controller.cli.approvals:reject",
        "revoke": "trimtab_controller.cli.approvals:revoke",
        "canary": "trimtab_controller.cli.canary:canary",
        "drill": "trimtab_controller.cli.drill:drill",
        "experiment": "trimtab_controller.cli.experiment:experiment",
        "report": "trimtab_controller.cli.evidence:report",
        "ladder": "trimtab_controller.cli.evidence:ladder",
        "token": "trimtab_controller.cli.token:token",
        "limits": "trimtab_controller.cli.limits:limits",
        "install": "trimtab_controller.cli.install:install",
        "uninstall": "trimtab_controller.cli.install:uninstall",
        "journal": "trimtab_controller.cli.journal:journal",
        "stage": "trimtab_controller.cli.stage:stage",
        "record": "trimtab_controller.cli.record:record",
        "fit": "trimtab_agents.fit_command:fit",
        "tune": "trimtab_controller.cli.extras:tune",
        "train": "trimtab_controller.cli.extras:train",
        "bench": "trimtab_controller.cli.extras:bench",
    },
)
@click.version_option(package_name="trimtab")
def main() -> None:
    """Scale replicas and route traffic with a learned policy, inside hard limits.

    Start with `trimtab up`: a small real cluster on this machine, steered live.
    """
