"""Session definitions of QuickFIX's acceptance tests, played against the gateway by a runner beside the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.core import write_config
from tests.support.gateway_process import CHECKOUT, GatewayProcess
from tidegate_tools.sim.quickfix_peer import free_port

FOLDER = Path(os.environ.get("TIDEGATE_CONFORMANCE", CHECKOUT.parent / "shared" / "conformance"))
VERSIONS = {"fix42": "FIX.4.2"}
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no conformance definitions at {FOLDER}")


@pytest.mark.parametrize("name", VERSIONS)
def test_all_definitions_pass(tmp_path: Path, name: str) -> None:
    """Each order of the definitions is refused at once, as its account is not known: one answer for each."""
    ems, venue = free_port(), free_port()
    session = {"id": "TW", "role": "acceptor", "begin_string": VERSIONS[name], "sender_comp_id": "ISLD"}
    session |= {"target_comp_id": "TW42", "listen": f"127.0.0.1:{ems}", "accounts": ["ACC1"], "reset_on_logon": True}
    nobody = {"id": "XNAS", "role": "initiator", "begin_string": "FIX.4.2", "sender_comp_id": "GW"}
    nobody |= {"target_comp_id": "X", "connect": f"127.0.0.1:{venue}"}
    config = {
        "gateway": {"name": "AT", "engine": "native", "state_dir": "var", "capacity": "small"},
        "sessions": [session, nobody],
        "instruments": "instruments.csv",
        "limits": "limits.yaml",
        "routing": {"default": "XNAS"},
    }
    limits = {
        "account": {"default": {"max_order_qty": 1, "max_order_notional": 1, "max_long": 1, "max_short": 1}},
        "instrument": {"default": {"collar_bps": 1, "reference_max_age": "5s"}},
        "session": {"default": {"max_messages": 10_000}},
    }
    instruments = "symbol,security_id,tick,lot,previous_close\nAAPL,US0378331005,0.01,1,100\n"
    path = write_config(tmp_path, config, limits, instruments)
    results = tmp_path / "results.json"
    with GatewayProcess(path):
        command = [sys.executable, str(FOLDER / "at_runner.py"), "--port", str(ems), "--server-comp-id", "ISLD"]
        command += ["--client-comp-id", "TW42", "--app", "any", "--json", str(results)]
        done = subprocess.run(
            [*command, str(FOLDER / "definitions" / name)], capture_output=True, text=True, timeout=300
        )
    assert done.returncode == 0, [line for line in done.stdout.splitlines() if "PASS" not in line]
    assert json.loads(results.read_text())["count"]["PASS"] >= 50
