"""Look at limits as they will stand: who could not trade."""

from __future__ import annotations

from gateway.core import layout as a
from gateway.core.catalogue import LIMITS
from gateway.settings import Settings, known_entities


def missing_limits(settings: Settings) -> list[tuple[str, str]]:
    """(entity, key to set) for every mandatory limit that neither the entity nor its scope's default sets."""
    missing = []
    for scope, name in sorted(known_entities(settings)):
        for limit in LIMITS:
            if limit.mandatory_scope != scope:
                continue
            if not any(limit.index in settings.limits.get((scope, n, ""), {}) for n in (name, "default")):
                entity = f"{a.SCOPE_NAMES[scope]} {name}"
                missing.append((entity, f"{a.SCOPE_NAMES[scope]}.{name}.{limit.key}"))
    return missing
