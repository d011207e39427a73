"""Count for classes of strategies, sectors and asset classes, whose members the settings name, at a start."""

from __future__ import annotations

import numpy as np

from gateway.config.settings import Settings
from gateway.core import layout as a
from gateway.core.layout import NONE
from gateway.core.setup import exposure_rows
from gateway.state.memory import State, require_row

SUMS = ("position_e8", "open_buy_e8", "open_sell_e8")


def regroup(state: State, settings: Settings) -> None:
    """Count orders and positions anew for the groups that their strategies and instruments are in now.

    A class holds what its strategies hold, so one that changed its class takes its positions with it. Raises
    ConfigError where the table of exposures is full.
    """
    group_of = np.append(state.record["entities"]["group"], NONE)
    _sum_exposures(state, settings, group_of)
    _regroup_orders(state, group_of)


def _sum_exposures(state: State, settings: Settings, group_of: np.ndarray) -> None:
    s = state.record
    exposures = s["exposures"]
    used = exposures[: s.exposure_count]
    of_class = s["entities"]["scope"][used["entity"]] == a.CLASS
    for column in SUMS:
        used[column][of_class] = 0
    members = np.flatnonzero(group_of[used["entity"]] != NONE)
    rows = np.empty(members.size, np.int64)
    exposure_rows(state.block, group_of[used["entity"][members]], used["instrument"][members], rows)
    require_row(int(rows.min(initial=0)), settings, "exposures")
    for column in SUMS:
        np.add.at(exposures[column], rows, used[column][members])


def _regroup_orders(state: State, group_of: np.ndarray) -> None:
    s = state.record
    orders = s["orders"][: s.order_count]
    used = np.flatnonzero(orders["number"] != NONE)
    entities, instruments = orders["entities"], orders["instrument"][used]
    entities[used, a.CLASS] = group_of[entities[used, a.STRATEGY]]
    entities[used, a.SECTOR] = s["instruments"]["sector"][instruments]
    entities[used, a.ASSET_CLASS] = s["instruments"]["asset_class"][instruments]
    in_class = used[entities[used, a.CLASS] != NONE]
    rows = np.empty(in_class.size, np.int64)
    exposure_rows(state.block, entities[in_class, a.CLASS], orders["instrument"][in_class], rows)
    orders["exposures"][used, a.CLASS] = NONE
    orders["exposures"][in_class, a.CLASS] = rows
    grouped = np.isin(s["entities"]["scope"], a.GROUP_SCOPES)
    s["entities"]["open_orders"][grouped] = 0
    working = used[orders["counted_open"][used] == 1]
    for scope in a.GROUP_SCOPES:
        named = entities[working, scope]
        np.add.at(s["entities"]["open_orders"], named[named != NONE], 1)
