"""When to send again: the round trip is measured, and every repetition waits twice as long as the one before.

The wait before the first repetition is what RFC 2349 agreed on; without that it follows the measured round trip as TCP's does
(RFC 6298: smoothed time plus four times its deviation; an answer to something sent twice measures nothing). Boot ROMs write
to slow flash between two blocks, so it is never below `MIN_WAIT_S`.
"""

from dataclasses import dataclass

FIRST_WAIT_S, MIN_WAIT_S, MAX_WAIT_S = 1.0, 0.1, 5.0
REPETITIONS = 10        # of the same thing; with the waits above a peer is given up after 26 to 50 s of silence


@dataclass(slots=True)
class Timing:
    """`wait_s` is how long to wait for an answer now; `agreed_s` fixes the first wait."""

    agreed_s: float | None = None
    repetitions: int = REPETITIONS
    first_s: float = FIRST_WAIT_S
    least_s: float = MIN_WAIT_S
    repeated: int = 0               # how often the thing in question was sent again
    round_trip_s: float | None = None
    _deviation_s: float = 0.0
    wait_s: float = 0.0

    def __post_init__(self) -> None:
        self.wait_s = self._base()

    def answered(self, elapsed_s: float) -> None:
        """An answer that moves things on came; `elapsed_s` after the question."""
        if self.repeated:
            self.moved()
            return
        smooth = self.round_trip_s
        if smooth is None:
            self.round_trip_s, self._deviation_s = elapsed_s, elapsed_s / 2
        else:
            error = elapsed_s - smooth
            self._deviation_s += ((error if error > 0 else -error) - self._deviation_s) / 4
            self.round_trip_s = smooth + error / 8
        if self.agreed_s is None:
            wait = (smooth if smooth is not None else elapsed_s) + 4 * self._deviation_s
            least = self.least_s
            self.wait_s = least if wait < least else wait if wait < MAX_WAIT_S else MAX_WAIT_S

    def moved(self) -> None:
        """Something came that moves things on but measures nothing."""
        self.repeated = 0
        self.wait_s = self._base()

    def again(self) -> bool:
        """No answer came: wait longer. False when that was often enough."""
        self.repeated += 1
        self.wait_s = min(self.wait_s * 2, max(MAX_WAIT_S, self._base()))
        return self.repeated <= self.repetitions

    def _base(self) -> float:
        if self.agreed_s is not None:
            return self.agreed_s
        if self.round_trip_s is None:
            return self.first_s
        return min(max(self.least_s, self.round_trip_s + 4 * self._deviation_s), MAX_WAIT_S)
