"""A process that has torch loaded and forks a child for each training run it is asked for.

Ten killed runs would else spend ten times the seconds that importing torch takes. Reads a JSON
object a line: ``data``, ``out``, ``settings`` and ``moment``: the child kills itself, as a power
cut would, before that many operations on files under ``out`` (0: never). Writes ``pid N``, then
``ended N``: the exit status, or minus the signal. What a run reports goes to ``out`` + ``.lines``.
"""

import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

FILE_EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.chmod", "tempfile.mkstemp")


def main() -> None:
    """Serve until stdin ends."""
    import matplotlib.figure  # noqa: F401
    from torch.utils.tensorboard import SummaryWriter  # noqa: F401

    from flukeprint.training import train  # noqa: F401

    for line in sys.stdin:
        child = os.fork()
        if not child:
            _run(json.loads(line))
        print("pid", child, flush=True)
        _, status = os.waitpid(child, 0)
        print("ended", os.waitstatus_to_exitcode(status), flush=True)


def _run(asked: dict[str, Any]) -> None:
    from flukeprint.errors import FlukeprintError
    from flukeprint.training.config import read_config
    from flukeprint.training.train import train

    data, out = Path(asked["data"]), Path(asked["out"])
    code = 1
    with Path(f"{out}.lines").open("a") as lines:

        def report(text: str) -> None:
            lines.write(f"{text}\n")
            lines.flush()

        moments = _watch(str(out), asked["moment"])
        try:
            train(data, out, read_config(None, asked["settings"]), device="cpu", report=report)
            report(f"moments {len(moments)}")
            code = 0
        except FlukeprintError as error:
            report(f"error: {error}")
            code = 2
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)


def _watch(folder: str, last: int) -> list[str]:
    """Note each file operation under a folder, and die before operation number ``last``."""
    seen: list[str] = []

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in FILE_EVENTS and any(
            isinstance(part, str) and (part == folder or part.startswith(f"{folder}/"))
            for part in map(_plain, arguments)
        ):
            seen.append(event)
            if len(seen) == last:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return seen


def _plain(part: object) -> object:
    return os.fsdecode(part) if isinstance(part, (bytes, os.PathLike)) else part


if __name__ == "__main__":
    main()
