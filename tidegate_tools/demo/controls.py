"""The acts of the demonstration that steer the gateway: a calibrator tightens a limit and dies; the kill switch."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from gateway.core import layout as a
from gateway.view.pushed import limit_in_force
from tidegate_tools.demo.scenario import Script
from tidegate_tools.demo.stage import BUY, SELL
from tidegate_tools.sim.calibrator import CalibratorProcess
from tidegate_tools.sim.matching_book import E8

SOURCE = "volatility"
PUSHED_SCOPE = "account=ALPHA"


class Controls:
    """What a person and a calibrator do to the gateway. `alerts` are those that must come of it, by kind."""

    def __init__(
        self, script: Script, calibrator: CalibratorProcess, config: Path, show: Callable[[str, str], None]
    ) -> None:
        """`show` shows a line of a command, and in which style."""
        self.script, self.calibrator, self.config, self.show = script, calibrator, config, show
        self.state = script.state
        self.alerts: Counter[str] = Counter()
        self.proven: list[str] = []
        """`no open orders`, once for each kill that ended so."""
        self.held = 0
        """Pushed limits that were held when the calibrator had died."""

    def calibrate(self) -> None:
        """A calibrator tightens a limit while orders flow, pushes nonsense, loosens and dies."""
        script = self.script
        self.alerts["source_back"] += 1
        script.caption("A calibrator watches volatility, and may tighten ALPHA's 5,000 shares an order: 1,000 KO pass")
        script.rest("EMS1", "ALPHA", "KO", BUY, 1000, Decimal("58.50"))
        script.pause(1.0)
        for pushed in (3000, 1500, 800):
            script.caption(f"The calibrator pushes {pushed:,}; orders flow on")
            self._push(pushed)
            script.steps(6)
            if pushed >= 1000:
                script.rest("EMS1", "ALPHA", "KO", BUY, 1000, Decimal("58.50") - Decimal(pushed) / 10_000)
        script.caption("1,000 KO are refused now, and the refusal names the push")
        self._refused()
        script.pause(1.2)
        script.caption("It pushes nonsense, the bits of a NaN: what was in force holds, loudly")
        self.calibrator.tell(f"nonsense nan max_order_qty {PUSHED_SCOPE}")
        self._wait_state(a.HELD, "the nonsense")
        self.alerts["parameter_bad"] += 1
        self._refused()
        script.pause(1.0)
        script.caption("It pushes 5,000: loosening takes time, 10% of what people set a minute")
        self.calibrator.tell(f"push max_order_qty 5000 {PUSHED_SCOPE}")
        self._wait_state(a.VALID, "the push of 5,000")
        self._refused()
        script.pause(1.0)
        self._die()

    def kill(self) -> None:
        """The kill switch: nothing passes, nothing stays open, until a person rearms it."""
        script = self.script
        working = len(script.working)
        script.caption(f"The kill switch, with {working} orders open at three venues")
        script.pause(1.0)
        output = self.command("kill", "--scope", "firm", "--timeout", "60s", "--reason", "end of the demonstration")
        self.proven += [line for line in output if line == "no open orders"]
        self.alerts["kill_set"] += 1
        script.expected["canceled by the kill switch"] += working
        script.wait_outcome("canceled by the kill switch")
        canceled = script.working.pop()
        script.working.clear()
        script.pause(1.5)
        script.caption("KILLED: every EMS is refused; a status is still answered")
        script.refused("refused: KILLED", "EMS1", "ALPHA", "AAPL", BUY, 10, "187")
        script.refused("refused: KILLED", "EMS2", "HEDGE", "KO", SELL, 10, "60")
        script.refused("refused: KILLED", "EMS3", "FUTURES", "FESX", BUY, 1, "4940")
        script.status(canceled)
        script.pause(1.2)

    def rearm(self) -> None:
        """A person releases the switch, and says why."""
        self.script.caption("Setting it is easy; rearming takes the gateway, a name and a reason")
        self.command("rearm", "--scope", "firm", "--reason", "the demonstration is over")
        self.alerts["kill_released"] += 1
        self.script.trade("EMS2", "HEDGE", "MSFT", BUY, 110)
        self.script.pause(0.8)

    def halt(self) -> None:
        """Less than a kill: an account is halted, and let go again."""
        script, scope = self.script, ("--scope", "account=ALPHA")
        script.caption("Less than a kill: ALPHA is halted, all others go on")
        self.command("posture set halted", *scope, "--reason", "its limits are looked at")
        script.refused("refused: POSTURE", "EMS1", "ALPHA", "AAPL", BUY, 10, "187")
        script.trade("EMS2", "HEDGE", "MSFT", BUY, 120)
        self.command("posture release", *scope, "--reason", "they are right")
        self.alerts["posture_set"] += 2
        script.pause(0.8)

    def command(self, name: str, *arguments: str) -> list[str]:
        """Run a command of `tidegate` as a person would, show it with its output, and return that."""
        words = [*name.split(), "--config", str(self.config), *arguments]
        self.show(f"$ tidegate {shlex.join(words)}", "bold")
        with subprocess.Popen(
            [sys.executable, "-m", "gateway.cli", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"NO_COLOR": "1"},
        ) as process:
            assert process.stdout is not None
            output = []
            for line in process.stdout:
                output.append(line.rstrip())
                self.show(output[-1], "yellow")
        if process.returncode:
            raise RuntimeError(f"tidegate {name} ended with status {process.returncode}")
        return output

    def _die(self) -> None:
        script, s = self.script, self.state.record
        script.caption("The calibrator dies. Its last limit is held: silence never loosens")
        self.calibrator.tell("die")
        script.wait(lambda: s.sources[0].up == 0, "the silence of the calibrator")
        self._wait_state(a.HELD, "the hold")
        self.alerts["source_silent"] += 1
        self.held = int((s.parameters[: int(s.parameter_count)]["state"] == a.HELD).sum())
        self._refused()
        script.pause(1.5)
        script.caption("Only a person gives a limit back")
        where = ("--source", SOURCE, "--scope", PUSHED_SCOPE, "--limit", "max_order_qty")
        self.command("params release", *where, "--reason", "its calibrator is dead")
        self.alerts["parameter_released"] += 1
        script.rest("EMS1", "ALPHA", "KO", BUY, 1000, Decimal("58.45"))
        script.pause(0.8)

    def _refused(self) -> None:
        self.script.expected["refusals that name a pushed limit"] += 1
        self.script.refused("refused: MAX_ORDER_QTY", "EMS1", "ALPHA", "KO", BUY, 1000, "58.45")

    def _push(self, value: int) -> None:
        self.calibrator.tell(f"push max_order_qty {value} {PUSHED_SCOPE}")
        entity = self.state.entities[a.ACCOUNT, "ALPHA"]
        self.script.wait(
            lambda: limit_in_force(self.state, entity, a.NONE, a.MAX_ORDER_QTY) == value * E8, f"the push of {value}"
        )

    def _wait_state(self, state: int, what: str) -> None:
        s = self.state.record
        self.script.wait(lambda: int(s.parameters[0].state) == state, what)
