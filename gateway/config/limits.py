"""Look at limits as they will stand: who could not trade."""

from __future__ import annotations

from gateway.config.settings import Settings, known_entities
from gateway.core import layout as a
from gateway.core.catalogue import LIMITS


def limit_set(settings: Settings, entity: tuple[int, str], symbol: str, limit: int) -> int:
    """What limits.yaml sets for an entity (scope, name), or with `symbol` for it in that instrument, the tighter of the
    two; UNSET where neither is set.
    """
    scope, name = entity
    found = []
    for where in {"", symbol}:
        values = [settings.limits.get((scope, n, where), {}).get(limit) for n in (name, "default")]
        found += [value for value in values if value is not None][:1]
    return min(found, default=a.UNSET)


def missing_limits(settings: Settings) -> list[tuple[str, str]]:
    """(who is blocked, key to set) for every mandatory limit that neither an entity nor its scope's default sets, and
    for every instrument whose currency has no rate.
    """
    missing = []
    for scope, name in sorted(known_entities(settings)):
        for limit in LIMITS:
            if limit.mandatory_scope != scope:
                continue
            if not any(limit.index in settings.limits.get((scope, n, ""), {}) for n in (name, "default")):
                entity = f"{a.SCOPE_NAMES[scope]} {name}"
                missing.append((entity, f"{a.SCOPE_NAMES[scope]}.{name}.{limit.key}"))
    known = {"", settings.config.gateway.currency, *settings.config.rates}
    without = [i for i in settings.instruments if i.currency not in known]
    missing += [(f"instrument {i.symbol}", f"rates.{i.currency}") for i in without]
    return missing
