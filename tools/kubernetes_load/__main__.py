"""Measures one daemon; see the package."""

from __future__ import annotations

import socket
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from tests.cluster.fake.cluster import FakeCluster
from tools.kubernetes_load.daemon import Daemon, Reading
from tools.kubernetes_load.life import Autoscalers, prometheus
from tools.kubernetes_load.town import configuration, settle

WARM_TICKS = 2


@click.command()
@click.option("--services", default=1000, show_default=True)
@click.option("--at-once", default=10, show_default=True, help="May change within a minute.")
@click.option("--ticks", default=12, show_default=True, help="How many are measured.")
@click.option("--tick-s", default=15.0, show_default=True)
@click.option("--keep", type=click.Path(path_type=Path), help="Folder for the files of the run.")
def main(services: int, at_once: int, ticks: int, tick_s: float, keep: Path | None) -> None:
    """Measure a daemon with so many services against the fake API server."""
    with TemporaryDirectory() as temporary:
        folder = keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        fake = FakeCluster()
        fake.inside(lambda api: settle(api, services))
        server, autoscalers = prometheus(services), Autoscalers(fake)
        autoscalers.start()
        metrics, url = f"127.0.0.1:{_free_port()}", f"http://127.0.0.1:{server.server_port}"
        (folder / "trimtab.yaml").write_text(configuration(services, at_once, url, metrics, tick_s))
        daemon = Daemon(folder, fake.kubeconfig(folder / "kubeconfig"), metrics)
        try:
            measure(daemon, fake, ticks, tick_s)
        finally:
            daemon.end()
            autoscalers.end()
            server.shutdown()
            fake.close()


def measure(daemon: Daemon, fake: FakeCluster, ticks: int, tick_s: float) -> None:
    """Let it find its feet, then count."""
    first = daemon.after(WARM_TICKS, tick_s)
    click.echo(f"start      {calls(fake).total()} API calls until tick {first.ticks}")
    fake.seen.clear()
    last = daemon.after(first.ticks + ticks, tick_s)
    report(first, last, calls(fake))


def calls(fake: FakeCluster) -> Counter[str]:
    """The daemon's calls by verb and kind, of all that the fake has seen."""
    own = [seen.call for seen in fake.seen if seen.call.agent.startswith("trimtab")]
    return Counter(f"{call.verb} {call.kind.plural}" for call in own)


def report(first: Reading, last: Reading, made: Counter[str]) -> None:
    """Print what one tick took, on average."""
    ticks, seconds = last.ticks - first.ticks, last.at_s - first.at_s
    slowest_s = max(bound_s for bound_s, count in last.buckets.items() if count < last.ticks)
    click.echo(f"CPU        {(last.cpu_s - first.cpu_s) / seconds:.2f} cores for {seconds:.0f} s")
    click.echo(f"memory     {last.memory_mib:.0f} MiB")
    click.echo(f"tick       {(last.ticks_s - first.ticks_s) / ticks:.2f} s on average")
    click.echo(f"           more than {slowest_s:g} s the slowest")
    click.echo(f"API calls  {made.total() / ticks:.0f} a tick")
    for call, count in made.most_common():
        click.echo(f"           {count / ticks:.1f} {call}")
    click.echo(f"outcomes   {dict(last.outcomes - first.outcomes)}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    main()
