"""What Intel's tools tell about their use, left untold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from edgeblend.converters.process_state import replaced


@contextmanager
def telemetry_off() -> Iterator[None]:
    """Keep OpenVINO and NNCF from reporting to a service, and from writing who reports to the home folder.

    They report unless a file in the home folder declines; the first import of OpenVINO already does, and it
    fails for a user who has no home. No file and no environment variable is touched here: the check says
    "declined", and nothing is sent. Hold :func:`edgeblend.one_at_a_time.one_at_a_time` around it.
    """
    try:
        from openvino_telemetry.utils.opt_in_checker import ConsentCheckResult, OptInChecker
        from openvino_telemetry.utils.sender import TelemetrySender
    except ImportError:  # the tools report nothing without it
        yield
        return

    def declined(*asked: Any, **options: Any) -> Any:  # noqa: ANN401
        del asked, options
        return ConsentCheckResult.DECLINED

    def send_nothing(*message: Any, **options: Any) -> None:  # noqa: ANN401
        del message, options

    with replaced(OptInChecker, check=declined), replaced(TelemetrySender, send=send_nothing):
        yield
