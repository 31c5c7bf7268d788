"""The settings as people apply them."""

from __future__ import annotations

from trimtab_agents.tune_postgres.settings import Settings


def patch(settings: Settings, why: str, *, held: bool) -> str:
    """SQL for psql: what the server is to be set to, with its allowance and pool as comments."""
    cpus, memory = f"{settings.cpus:g}", settings.memory_mb
    allowance = (
        f"-- Allowance: {cpus} CPU, {memory} MB with its page cache, as\n"
        f"--   docker update --cpus {cpus} --memory {memory}m --memory-swap {memory}m CONTAINER\n"
        f"--   Kubernetes: resources.limits {{cpu: {cpus!r}, memory: {memory}Mi}}\n"
    )
    lines = [
        f"ALTER SYSTEM SET {name} = '{value}';" for name, value in settings.configuration.items()
    ]
    return (
        f"-- {why}\n"
        "--   psql --file FILE, then restart the server (shared_buffers needs it).\n"
        f"{allowance if held else ''}"
        f"-- Pool: {settings.clients} connections that are busy at once.\n"
        + "\n".join(lines)
        + "\n"
    )
