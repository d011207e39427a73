"""Limits that publishers push, within those that people set. Kernels only.

A person's limit is the ceiling, a share of it the floor. A pushed value in between tightens at once and loosens by no
more than a share of the ceiling a minute. A value that is none, one whose time has run out and a publisher gone silent
HOLD what is in force: they never loosen. Of several publishers the tightest counts. Only RELEASE, by a person, gives a
limit back.
"""

from __future__ import annotations

from gateway.core import alerts as al
from gateway.core import catalogue as c
from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.layout import NONE, UNLIMITED, UNSET
from gateway.core.messages.alerts import alert
from gateway.core.messages.text import add_bytes, add_char, add_count
from gateway.core.tables.exposures import exposure_row, find_exposure
from gateway.jit import entry, kernel

MINUTE_MS = 60_000
STEP_NS = 1_000_000_000  # how often a limit that loosens moves
TELL_EVERY = 1_000
SMALL = 1 << 40  # products of a limit below it with percent and milliseconds fit


@kernel
def _share(ceiling, percent, ms):
    """Percent of a limit a minute, over so many ms, rounded down; inside int64."""
    if ceiling < SMALL:
        return ceiling * percent * ms // (100 * MINUTE_MS)
    parts = 100 * MINUTE_MS
    return ceiling // parts * percent * ms + ceiling % parts * percent * ms // parts


@kernel
def _pair_of(s, entity, instrument):
    """Row of the limits of an entity in an instrument, made when it is not there; NONE when the tables are full."""
    exposure = exposure_row(s, entity, instrument)
    if exposure == NONE:
        return NONE
    if s.exposures[exposure].pair == NONE:
        row = s.pair_count
        if row == s.pairs.size:
            return NONE
        s.pair_count += 1
        pair = s.pairs[row]
        for k in range(a.LIMITS):
            pair.limit[k] = UNSET
            pair.limit_set[k] = UNSET
            pair.limit_epoch[k] = 0
        pair.grades = NONE
        s.exposures[exposure].pair = row
    return s.exposures[exposure].pair


@kernel
def _ceiling(s, entity, instrument, limit):
    """What people set for an entity, or for it in an instrument, the tighter of the two; UNSET when neither is set."""
    of_entity = s.entities[entity].limit_set[limit]
    if instrument == NONE:
        return of_entity
    if limit == a.MAX_OPEN_ORDERS or limit == a.MAX_MESSAGES or s.entities[entity].scope not in a.POSITION_SCOPES:
        return UNSET  # no pair has it
    exposure = find_exposure(s, entity, instrument)
    pair = s.exposures[exposure].pair if exposure != NONE else NONE
    of_pair = s.pairs[pair].limit_set[limit] if pair != NONE else UNSET
    if of_pair == UNSET or of_entity == UNSET:
        return max(of_pair, of_entity)
    return min(of_pair, of_entity)


@kernel
def _put_in_force(s, entity, instrument, limit):
    """Set a limit to the tightest of what a person set and what is pushed."""
    value = s.entities[entity].limit_set[limit]
    if instrument != NONE:
        pair = _pair_of(s, entity, instrument)
        if pair == NONE:
            return
        value = s.pairs[pair].limit_set[limit]
    epoch = 0
    for row in range(s.parameter_count):
        p = s.parameters[row]
        if p.entity == entity and p.instrument == instrument and p.limit == limit and p.state != a.RELEASED:
            if value == UNSET or p.effective <= value:
                value = p.effective
                epoch = p.epoch
    if instrument != NONE:
        s.pairs[pair].limit[limit] = value
        s.pairs[pair].limit_epoch[limit] = epoch
    else:
        s.entities[entity].limit[limit] = value
        s.entities[entity].limit_epoch[limit] = epoch


@kernel
def _set_bounds(s, p):
    """Floor, ceiling and target of a pushed limit by what people have set now; returns whether they have."""
    ceiling = _ceiling(s, p.entity, p.instrument, p.limit)
    if ceiling == UNSET or ceiling >= UNLIMITED:
        return False
    p.ceiling = ceiling
    p.floor = max(_share(ceiling, s.floor_percent, MINUTE_MS), 1 if ceiling > 0 else 0)
    p.target = min(max(p.pushed, p.floor), p.ceiling)
    return True


@kernel
def _loosen(s, p):
    """Move a limit that may be looser by what the time since it last moved allows; what is too short for a whole unit
    is kept.
    """
    if s.loosen_percent == 0:
        return
    ms = (s.now_ns - p.moved_ns) // 1_000_000
    if p.ceiling >= SMALL:
        p.effective = min(p.target, p.effective + _share(p.ceiling, s.loosen_percent, min(ms, MINUTE_MS)))
        p.moved_ns = s.now_ns
        return
    rate = p.ceiling * s.loosen_percent  # units in 100 minutes
    if rate > 0:
        step = rate * min(ms, UNLIMITED // rate) // (100 * MINUTE_MS)
        p.moved_ns += (step * 100 * MINUTE_MS + rate - 1) // rate * 1_000_000
        most = max(rate // 100, 1)
        if step > most:  # the process was stopped meanwhile
            step = most
            p.moved_ns = s.now_ns
        p.effective = min(p.target, p.effective + step)


@kernel
def _find(s, source, entity, instrument, limit):
    for row in range(s.parameter_count):
        p = s.parameters[row]
        if p.source == source and p.entity == entity and p.instrument == instrument and p.limit == limit:
            return row
    return NONE


@kernel
def _say_which(s, source, entity, instrument, limit):
    """Write source, place and key of a limit into the text."""
    work = s.work
    work.text_size = 0
    of = s.sources[source]
    add_bytes(work, of.name, 0, of.name_size)
    add_char(work, 32)
    e = s.entities[entity]
    add_bytes(work, c.SCOPE_NAME[e.scope], 0, c.SCOPE_NAME_SIZE[e.scope])
    if e.name_size > 0:
        add_char(work, 32)
        add_bytes(work, e.name, 0, e.name_size)
    if instrument != NONE:
        i = s.instruments[instrument]
        add_char(work, 42)
        add_bytes(work, i.symbol, 0, i.symbol_size)
    add_char(work, 32)
    add_bytes(work, c.LIMIT_KEY[limit], 0, c.LIMIT_KEY_SIZE[limit])


@kernel
def _tell(s, out, number, source, entity, instrument, limit, epoch):
    _say_which(s, source, entity, instrument, limit)
    if epoch > 0:
        add_char(s.work, 32)
        add_char(s.work, 35)
        add_count(s.work, epoch)
    alert(s, out, number, s.work.text, 0, s.work.text_size)


@kernel
def _named(s, event):
    """Whether source, entity, instrument and limit of an event are rows that there are."""
    v = event.value
    return (
        0 <= v[ev.PARAMETER_SOURCE] < s.source_count
        and 0 <= v[ev.PARAMETER_ENTITY] < s.entity_count
        and NONE <= v[ev.PARAMETER_INSTRUMENT] < s.instrument_count
        and 0 <= v[ev.PARAMETER_LIMIT] < a.LIMITS
        and c.PUSHABLE[v[ev.PARAMETER_LIMIT]]
    )


@kernel
def _not_taken(s, out, number, event):
    """Tell of a push that cannot be taken, the first of so many: publishers repeat themselves."""
    v = event.value
    source = v[ev.PARAMETER_SOURCE]
    s.sources[source].not_taken += 1
    if s.sources[source].not_taken % TELL_EVERY == 1:
        place = (v[ev.PARAMETER_ENTITY], v[ev.PARAMETER_INSTRUMENT], v[ev.PARAMETER_LIMIT])
        _tell(s, out, number, source, place[0], place[1], place[2], v[ev.PARAMETER_EPOCH])


@kernel
def _hold(s, out, p, number):
    if p.state == a.VALID:
        p.state = a.HELD
        p.target = p.effective
        _tell(s, out, number, p.source, p.entity, p.instrument, p.limit, p.epoch)


@kernel
def _add(s, source, entity, instrument, limit):
    """A row for a limit that is pushed for the first time, in force as a person set it; NONE when there is no room."""
    row = s.parameter_count
    if row == s.parameters.size or (instrument != NONE and _pair_of(s, entity, instrument) == NONE):
        return NONE
    p = s.parameters[row]
    p.source = source
    p.entity = entity
    p.instrument = instrument
    p.limit = limit
    p.effective = _ceiling(s, entity, instrument, limit)
    p.target = p.effective
    p.pushed = p.effective
    p.state = a.VALID
    p.moved_ns = s.now_ns
    s.parameter_count += 1
    return row


@kernel
def on_parameter(s, out, event):
    """Take what a publisher pushed."""
    if not _named(s, event):
        return
    v = event.value
    source = v[ev.PARAMETER_SOURCE]
    entity = v[ev.PARAMETER_ENTITY]
    instrument = v[ev.PARAMETER_INSTRUMENT]
    limit = v[ev.PARAMETER_LIMIT]
    value = v[ev.PARAMETER_VALUE]
    usable = 0 <= value <= UNLIMITED
    row = _find(s, source, entity, instrument, limit)
    if row == NONE:
        ceiling = _ceiling(s, entity, instrument, limit)
        if ceiling == UNSET or ceiling >= UNLIMITED:
            _not_taken(s, out, al.PARAMETER_NO_LIMIT, event)
            return
        if not usable:
            _tell(s, out, al.PARAMETER_BAD, source, entity, instrument, limit, v[ev.PARAMETER_EPOCH])
            return
        row = _add(s, source, entity, instrument, limit)
        if row == NONE:
            _not_taken(s, out, al.PARAMETER_NO_ROOM, event)
            return
    p = s.parameters[row]
    s.sources[source].pushes += 1
    if p.state == a.RELEASED:
        if not usable:
            return
        p.state = a.VALID  # what was pushed before the release never comes here
    if not usable or not _set_bounds(s, p):
        _hold(s, out, p, al.PARAMETER_BAD)
        return
    p.pushed = value
    p.epoch = v[ev.PARAMETER_EPOCH]
    p.model = v[ev.PARAMETER_MODEL]
    p.expires_ns = v[ev.PARAMETER_EXPIRES]
    p.told_ns = s.now_ns
    if p.state == a.HELD or p.target == p.effective:
        p.moved_ns = s.now_ns  # time in which it had nowhere to go does not count
    p.state = a.VALID
    _set_bounds(s, p)
    p.effective = min(p.effective, p.target)
    s.parameter_epoch = p.epoch
    s.parameter_model = p.model
    if p.expires_ns != 0 and p.expires_ns <= s.now_ns:
        _hold(s, out, p, al.PARAMETER_EXPIRED)
    _put_in_force(s, entity, instrument, limit)


@kernel
def on_source(s, out, buf, event):
    """A publisher went silent: its limits hold. It is heard again: they move on with what it pushes next."""
    row = event.value[ev.SOURCE_ROW]
    if row < 0 or row >= s.source_count:
        return
    source = s.sources[row]
    source.up = event.value[ev.SOURCE_UP]
    source.since_ns = s.now_ns
    s.work.text_size = 0
    add_bytes(s.work, source.name, 0, source.name_size)
    if event.length > 0:
        add_char(s.work, 32)
        add_bytes(s.work, buf, event.start, min(event.length, a.TEXT_BYTES))
    alert(s, out, al.SOURCE_BACK if source.up == 1 else al.SOURCE_SILENT, s.work.text, 0, s.work.text_size)
    if source.up == 0:
        for k in range(s.parameter_count):
            p = s.parameters[k]
            if p.source == row and p.state == a.VALID:
                p.state = a.HELD
                p.target = p.effective


@kernel
def on_release(s, out, buf, event):
    """A person gives a pushed limit back: what people set is in force again."""
    if not _named(s, event):
        return
    v = event.value
    entity = v[ev.PARAMETER_ENTITY]
    instrument = v[ev.PARAMETER_INSTRUMENT]
    limit = v[ev.PARAMETER_LIMIT]
    row = _find(s, v[ev.PARAMETER_SOURCE], entity, instrument, limit)
    if row == NONE or s.parameters[row].state == a.RELEASED:
        return
    alert(s, out, al.PARAMETER_RELEASED, buf, event.start, event.length)
    p = s.parameters[row]
    p.state = a.RELEASED
    p.told_ns = s.now_ns
    p.effective = p.ceiling
    p.target = p.ceiling
    _put_in_force(s, entity, instrument, limit)


@kernel
def start_parameters(s):
    """Time in which the gateway was down loosens nothing."""
    for row in range(s.parameter_count):
        s.parameters[row].moved_ns = s.now_ns


@kernel
def move_parameters(s, out):
    """Each tick: hold what has expired, and move what may loosen, once a second. Returns whether anything changed."""
    changed = False
    for row in range(s.parameter_count):
        p = s.parameters[row]
        if p.state != a.VALID or out.count >= a.OUT_MESSAGES // 2:
            continue
        if p.expires_ns != 0 and p.expires_ns <= s.now_ns:
            _hold(s, out, p, al.PARAMETER_EXPIRED)
            changed = True
        elif p.effective < p.target and s.now_ns - p.moved_ns >= STEP_NS:
            before = p.effective
            _loosen(s, p)
            if p.effective != before:
                _put_in_force(s, p.entity, p.instrument, p.limit)
                changed = True
    return changed


@entry
def restore_parameters(block):
    """After settings changed: bounds by what people set now; a limit that they took away is dropped with its row.
    Returns how many limits of pairs find no room.
    """
    s = block[0]
    row = 0
    no_room = 0
    while row < s.parameter_count:
        p = s.parameters[row]
        entity = p.entity
        instrument = p.instrument
        limit = p.limit
        if p.effective == p.target:
            p.moved_ns = s.now_ns  # time in which it had nowhere to go does not count
        kept = p.source != NONE and entity != NONE and _set_bounds(s, p)
        if kept:
            p.effective = min(p.effective, p.ceiling)
            if p.state == a.HELD:
                p.target = p.effective
            row += 1
        else:
            s.parameter_count -= 1
            s.parameters[row] = s.parameters[s.parameter_count]
        if entity != NONE:
            if kept and instrument != NONE and _pair_of(s, entity, instrument) == NONE:
                no_room += 1
            _put_in_force(s, entity, instrument, limit)
    return no_room
