"""Runs one experiment on one side."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping

from lastack.model.lab import Run, Setting
from lastack.model.time import SECOND

from .experiment import Experiment
from .lab import Lab


def run(experiment: Experiment, on: str, given: Mapping[str, Setting], seed: int = 1) -> Run:
    """Play an experiment on `sim` or `kernel` with some knobs set. Raises LastackError where it goes wrong."""
    lab = Lab(experiment, on, given, seed)
    begin = time.monotonic()
    outcome = experiment.run(lab)
    system = "lastack's engine" if on == "sim" else f"Linux {platform.release()}"
    late = max((scene.late for scene in lab.scenes), default=0)
    wall_s = time.monotonic() - begin
    return Run(experiment.name, on, system, lab.knobs, outcome, tuple(lab.scenes), wall_s, late / SECOND)
