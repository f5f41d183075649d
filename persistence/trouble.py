"""What fails again and again: the log is told when it begins and when it is over, `/health` as long as it lasts."""

import structlog

log = structlog.get_logger(__name__)


class Trouble:
    """One thing that can go wrong, and whether it does now.

    Args:
        begins: log message of the first failure.
        over: log message of the first success behind failures.

    Attributes:
        problem: the last failure; "" while all is well.
    """

    def __init__(self, begins: str, over: str) -> None:
        self.problem = ""
        self._begins = begins
        self._over = over

    def met(self, error: BaseException, **fields: object) -> None:
        """It failed.

        Args:
            error: why.
            fields: for the log.
        """
        problem = f"{type(error).__name__}: {error}"
        if not self.problem:
            log.error(self._begins, problem=problem, **fields)
        self.problem = problem

    def passed(self) -> None:
        """It worked."""
        if self.problem:
            log.info(self._over)
        self.problem = ""
