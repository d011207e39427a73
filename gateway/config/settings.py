"""The config files, read and validated: every error is one line with file, key and the value wanted."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gateway.config.files import (
    ConfigError,
    GradeTable,
    Instrument,
    LimitTable,
    Position,
    Read,
    parse_instruments,
    parse_limits,
    parse_positions,
    parse_yaml,
    read_text,
)
from gateway.config.sections import Config
from gateway.core import layout as a

OF_ACCEPTORS = {"desks", "accounts", "strategies", "traders", "flows", "defaults", "max_poss_dup_age"}
OF_INITIATORS = {"reconnect", "order_status"}
ENGINE_BEFORE = "quickfix"  # of a gateway whose journal does not say: it was the default then


@dataclass(frozen=True)
class Settings:
    """Everything a gateway is made of. `sources` has the text of each file that was read, by its path as opened;
    `path` is the main one.
    """

    config: Config
    instruments: list[Instrument]
    limits: LimitTable
    grades: GradeTable
    positions: list[Position]
    path: Path
    sources: dict[str, str]

    def to_json(self) -> bytes:
        """The settings as a journal carries them: the path of the main file, the text of every file, and the engine,
        which the text may leave to the release.
        """
        engine = self.config.gateway.engine
        return json.dumps({"path": str(self.path), "sources": self.sources, "engine": engine}).encode()


def load_settings(path: Path) -> Settings:
    """Read the main config and the files it names (paths are relative to it); raises ConfigError."""
    settings = _parse(path, read_text)
    _refuse_idle(settings)
    return settings


def restore_settings(data: bytes) -> Settings:
    """The settings that `Settings.to_json` gave, parsed and checked anew; no file is opened. Raises ConfigError."""
    kept = json.loads(data)
    sources = kept["sources"]

    def read(path: Path) -> str:
        if str(path) not in sources:
            raise ConfigError(f"{path}: is not among the files that the journal carries")
        return str(sources[str(path)])

    settings = _parse(Path(kept["path"]), read)
    gateway = settings.config.gateway
    if "engine" not in gateway.model_fields_set:
        gateway = gateway.model_copy(update={"engine": kept.get("engine", ENGINE_BEFORE)})
    return replace(settings, config=settings.config.model_copy(update={"gateway": gateway}))


def _refuse_idle(settings: Settings) -> None:
    """What would do nothing, unnoticed. Not asked of settings that a journal carries: with them a gateway has run."""
    config, faults = settings.config, []
    for k, session in enumerate(config.sessions):
        idle = OF_ACCEPTORS if session.role == "initiator" else OF_INITIATORS
        faults += [
            f"sessions.{k}.{key}: is not for an {session.role}" for key in sorted(idle & session.model_fields_set)
        ]
    currencies = {instrument.currency for instrument in settings.instruments}
    unused = sorted(config.rates.keys() - currencies)
    faults += [f"rates.{currency}: no instrument is in this currency" for currency in unused]
    if faults:
        raise ConfigError("\n".join(f"{settings.path}: {fault}" for fault in faults))


def _parse(path: Path, read: Read) -> Settings:
    sources: dict[str, str] = {}

    def read_once(file: Path) -> str:
        if str(file) not in sources:
            sources[str(file)] = read(file)
        return sources[str(file)]

    config = _validated(path, parse_yaml(path, read_once))
    folder = path.parent
    config = _with_paths(config, folder)
    instruments = parse_instruments(folder / config.instruments, read_once)
    limits, grades = parse_limits(folder / config.limits, read_once)
    positions = parse_positions(folder / config.positions, read_once) if config.positions else []
    settings = Settings(config, instruments, limits, grades, positions, path, sources)
    _cross_check(path, folder, settings)
    return settings


def _with_paths(config: Config, folder: Path) -> Config:
    """The config with the paths of what the gateway opens itself; they are relative to the main file's folder."""

    def below(section: Any, *keys: str) -> Any:
        paths = {key: _below(folder, path) for key in keys if (path := getattr(section, key)) is not None}
        return section.model_copy(update=paths)

    sessions = []
    for session in config.sessions:
        update = {}
        if session.tls is not None:
            update["tls"] = below(session.tls, "certificate", "key", "ca")
        if session.credentials is not None:
            update["credentials"] = below(session.credentials, "password_file")
        sessions.append(session.model_copy(update=update))
    parameters = config.parameters
    sources = [below(source, "file") for source in parameters.sources]
    return config.model_copy(
        update={
            "gateway": below(config.gateway, "state_dir"),
            "journal": below(config.journal, "memory"),
            "sessions": sessions,
            "parameters": parameters.model_copy(update={"sources": sources}),
            "quotes": [below(source, "file") for source in config.quotes],
        }
    )


def _below(folder: Path, path: Path) -> Path:
    """A path relative to a folder, without the `..` that it begins with: as people look for it."""
    if path.parts[:1] == ("..",):
        folder = Path(os.path.realpath(folder))
    while path.parts[:1] == ("..",):
        folder, path = folder.parent, Path(*path.parts[1:])
    return folder / path


def _validated(path: Path, data: Any) -> Config:
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        lines = []
        for fault in error.errors():
            key = "".join(f"{part}." for part in fault["loc"]).removesuffix(".")
            # Of a fault between keys the input is all of their section.
            told = fault["type"] in ("missing", "extra_forbidden") or isinstance(fault["input"], dict)
            got = "" if told else f", got {fault['input']!r:.80}"
            wanted = {"missing": "is missing", "extra_forbidden": "is not a known key"}.get(fault["type"], fault["msg"])
            lines.append(": ".join(filter(None, (str(path), key, wanted.removeprefix("Value error, ")))) + got)
        raise ConfigError("\n".join(lines)) from None


def _cross_check(path: Path, folder: Path, settings: Settings) -> None:
    """Names in one file that another must know."""
    config = settings.config
    symbols = {i.symbol for i in settings.instruments}
    faults = [
        f"{path}: routing.instruments.{symbol}: is not in the instruments file"
        for symbol in config.routing.instruments
        if symbol not in symbols
    ]
    known = known_entities(settings)
    faults += [
        f"{path}: classes.{name}: {strategy}: no session may use a strategy of that name"
        for name, strategies in config.classes.items()
        for strategy in strategies
        if (a.STRATEGY, strategy) not in known
    ]
    for scope, name, symbol in settings.limits:
        where = f"{folder / config.limits}: {a.SCOPE_NAMES[scope]}{'*instrument' if symbol else ''}"
        if name not in ("default", "") and (scope, name) not in known:
            faults.append(f"{where}.{name}: no {a.SCOPE_NAMES[scope]} of that name in {path}")
        if symbol and symbol not in symbols:
            faults.append(f"{where}.{name}*{symbol}: {symbol} is not in the instruments file")
    for position in settings.positions:
        if (a.ACCOUNT, position.account) not in known:
            faults.append(f"{folder / (config.positions or '')}: account {position.account}: no session may use it")
        if position.strategy and (a.STRATEGY, position.strategy) not in known:
            faults.append(f"{folder / (config.positions or '')}: strategy {position.strategy}: no session may use it")
        if position.symbol not in symbols:
            faults.append(f"{folder / (config.positions or '')}: symbol {position.symbol}: not in the instruments file")
    if faults:
        raise ConfigError("\n".join(faults))


def known_entities(settings: Settings) -> set[tuple[int, str]]:
    """Every (scope, name) that the config knows: what sessions may use, instruments, sessions and venues."""
    known = {(a.FIRM, "")}
    for session in settings.config.sessions:
        known.add((a.VENUE if session.role == "initiator" else a.SESSION, session.id))
        for scope, names in session.allowed().items():
            known.update((scope, name) for name in names)
    known.update((a.CLASS, name) for name in settings.config.classes)
    for instrument in settings.instruments:
        named = {a.INSTRUMENT: instrument.symbol, a.SECTOR: instrument.sector, a.ASSET_CLASS: instrument.asset_class}
        known.update((scope, name) for scope, name in named.items() if name)
    return known
