"""The lab as an experiment has it: its knobs, and a bench for every scene."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import final

from lastack.errors import CallError
from lastack.model.lab import Scene, Setting
from lastack.model.time import MILLISECOND, SECOND, Nanos
from lastack.stack.dice import Dice

from .bench import Bench
from .engine import EngineBench
from .experiment import Experiment

_DELAY: Nanos = 2 * MILLISECOND
"""One way, where an experiment says nothing else."""


def knobs(experiment: Experiment, on: str) -> dict[str, Setting]:
    """The knobs of an experiment as they are on `sim` or `kernel` where nobody sets them."""
    return {
        knob.name: knob.kernel if on == "kernel" and knob.kernel is not None else knob.default
        for knob in experiment.knobs
    }


@final
class Lab:
    """`on` is `sim` or `kernel`; `scenes` are those played so far."""

    def __init__(self, experiment: Experiment, on: str, given: Mapping[str, Setting], seed: int) -> None:
        self.on = on
        self.scenes: list[Scene] = []
        self._seed = seed
        self.knobs = knobs(experiment, on)
        self._sysctls: dict[str, int | str] = {}
        for name, value in given.items():
            if name in self.knobs:
                self.knobs[name] = value
            else:
                self._sysctls[name] = int(value) if isinstance(value, bool | float) else value

    def dice(self) -> Dice:
        """Chance from the seed, the same at every run."""
        return Dice(self._seed)

    def seconds(self, name: str) -> Nanos:
        """A knob that is a duration, in ns."""
        return round(float(self.knobs[name]) * SECOND)

    def number(self, name: str) -> int:
        """A knob that is a number."""
        return int(self.knobs[name])

    def flag(self, name: str) -> bool:
        """A knob that is a switch."""
        return bool(self.knobs[name])

    @contextmanager
    def scene(
        self,
        title: str,
        *,
        delay: Nanos = _DELAY,
        client: Mapping[str, int | str] | None = None,
        server: Mapping[str, int | str] | None = None,
        **both: int | str,
    ) -> Iterator[Bench]:
        """Two fresh hosts with these sysctls (of both, or of one) and a wire with this delay; kept as a Scene after."""
        own = {"client": {**both, **(client or {})}, "server": {**both, **(server or {})}}
        settings = {
            host: {name: str(value) for name, value in {**of, **self._sysctls}.items()} for host, of in own.items()
        }
        replaced = self._replaced(own)
        if self.on == "sim":
            bench = EngineBench(title, settings, delay, self._seed)
            yield bench
            self.scenes.append(bench.scene()._replace(replaced=replaced))
            return
        if sys.platform != "linux":
            raise CallError("a kernel's side of an experiment needs Linux")
        from .kernel import kernel_bench

        with kernel_bench(title, settings, delay, self._seed) as real:
            yield real
            self.scenes.append(real.scene()._replace(replaced=replaced))

    def _replaced(self, own: Mapping[str, Mapping[str, int | str]]) -> tuple[str, ...]:
        """Where a setting that was given is another than the scene's own, which its title and facts may speak of."""
        found = {
            f"{name}={self._sysctls[name]} as given, where this scene has {value}"
            for of in own.values()
            for name, value in of.items()
            if name in self._sysctls and str(self._sysctls[name]) != str(value)
        }
        return tuple(sorted(found))
