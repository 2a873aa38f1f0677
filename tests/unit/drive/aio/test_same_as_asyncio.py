"""The same scene on the kernel's TCP with asyncio's own loop, and on ours: the same happens, in the same order."""

from __future__ import annotations

import sys

import pytest

from . import scenes, stream_scenes
from .stage import Scene, play

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asyncio is compared on Linux, whose TCP is ours")


@pytest.mark.parametrize("scene", scenes.SCENES + stream_scenes.SCENES, ids=lambda scene: scene.__name__)
def test_a_scene_goes_on_our_tcp_as_it_goes_on_the_kernels(scene: Scene) -> None:
    on_kernel, on_ours = play(scene, ours=False), play(scene, ours=True)
    assert on_ours == on_kernel
    assert any(on_kernel.values())
