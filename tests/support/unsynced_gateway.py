"""`tidegate` on a disk that fails: no sync of the journal succeeds once there is a file `sick` in the state folder."""

from __future__ import annotations

from gateway.cli.main import main as tidegate
from gateway.journal.writer import Journal

really_sync = Journal.sync


def sync(journal: Journal) -> None:
    """As `Journal.sync`."""
    really_sync(journal)
    if (journal._folder.parent / "sick").exists():
        journal._failed_sync = "sync failed: the disk is sick"


def main() -> None:
    """Stands in for that of `tidegate`."""
    Journal.sync = sync
    tidegate()


if __name__ == "__main__":
    main()
