"""The chain that segments make: each follows the one before by number, by its first record, and by its seal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from gateway.journal.read import Segment, segment_number
from gateway.journal.seal import NO_DIGEST, digest_of


@dataclass(frozen=True)
class Link:
    """A segment with the digest in the seal before it; `records` are those that stand in front of its own SEAL."""

    segment: Segment
    previous: bytes
    records: int

    @cached_property
    def digest(self) -> bytes:
        """What a SEAL behind it says, or has to say."""
        return self.digest_up_to(self.records)

    def digest_up_to(self, records: int) -> bytes:
        """Digest of the first records as a SEAL behind them would have it: SHA-256 of them and of the seal before."""
        segment = self.segment
        end = int(segment.starts[records]) if records < segment.starts.size else segment.end
        return digest_of(segment.octets[: end * 8].data, self.previous)


class SealChain:
    """Checks that segments follow each other without a gap, and that none was changed since it was sealed."""

    def __init__(self, number: int = 0, next_sequence: int = 1, seal: bytes = NO_DIGEST) -> None:
        """Begin behind segment `number`, whose SEAL has this digest; `next_sequence` is that of the next record."""
        self._number = number
        self._next_sequence = next_sequence
        self._seal = seal
        self._unsealed = ""  # name of the last segment when it has no seal
        self._damaged = False

    def gaps(self, segment: Segment) -> Iterator[str]:
        """What lies between the next segment and the one before, or is lost in it: one line each."""
        name, first, last = segment.path.name, self._number + 1, segment.number - 1
        if first <= last:
            yield f"segment {first}: is missing" if first == last else f"segments {first} to {last}: are missing"
        elif segment.number < first:
            yield f"{name}: stands behind segment {self._number}"
        elif segment.first_sequence != self._next_sequence and not self._damaged:
            yield f"{name}: begins with record {segment.first_sequence}, want {self._next_sequence}"
        if segment.number != segment_number(segment.path):
            yield f"{name}: is segment {segment.number} by its head, the file was renamed"
        if segment.lost_records() > 0:
            yield f"{name}: damaged behind record {segment.last_sequence}, {segment.lost_records()} lost"

    def broken_seals(self, link: Link) -> Iterator[str]:
        """What seals say against the next segment: one line each."""
        segment, name, seal = link.segment, link.segment.path.name, link.segment.seal
        if self._unsealed:
            yield f"{self._unsealed}: has no seal, though segment {segment.number} follows: was changed or not repaired"
        if seal is not None:
            if link.digest != bytes(seal["digest"]):
                yield f"{name}: is not what was sealed"
            if link.previous != bytes(seal["previous"]):
                yield f"{name}: its seal does not follow from the segment before"
            if segment.octets[segment.end * 8 :].any():
                yield f"{name}: has something behind its seal"

    def link(self, segment: Segment) -> Link:
        """The next segment as it is chained; where the one before is missing, its own word on that one is taken."""
        previous = self._seal
        if segment.number != self._number + 1:
            previous = NO_DIGEST if segment.seal is None else bytes(segment.seal["previous"])
        return Link(segment, previous, segment.committed() - (segment.seal is not None))

    def advance(self, segment: Segment) -> None:
        """Go on behind this segment."""
        self._number = segment.number
        # The number of a SEAL that could not be written is left out.
        self._next_sequence = segment.first_sequence + segment.committed() + (segment.seal is None)
        self._seal = NO_DIGEST if segment.seal is None else bytes(segment.seal["digest"])
        self._unsealed = segment.path.name if segment.seal is None else ""
        self._damaged = segment.lost_records() > 0
