"""The same scene on the kernel's TCP with asyncio's own loop, and on ours: the same happens, in the same order."""

from __future__ import annotations

import functools
import sys

import pytest

from lastack.linux.namespaces import Namespace

from . import scenes, stream_scenes
from .stage import KERNEL, OUR_CLIENT, OUR_SERVER, OURS, Scene, Stage, play

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asyncio is compared on Linux, whose TCP is ours")
ALL = scenes.SCENES + stream_scenes.SCENES


@functools.cache
def on_the_kernel(scene: Scene) -> dict[str, list[str]]:
    return play(scene, KERNEL)


@pytest.mark.parametrize("scene", ALL, ids=lambda scene: scene.__name__)
def test_a_scene_goes_on_our_tcp_as_it_goes_on_the_kernels(scene: Scene) -> None:
    assert play(scene, OURS) == on_the_kernel(scene)
    assert any(on_the_kernel(scene).values())


@pytest.mark.root
@pytest.mark.parametrize("stage", (OUR_CLIENT, OUR_SERVER), ids=("client", "server"))
@pytest.mark.parametrize("scene", ALL, ids=lambda scene: scene.__name__)
def test_a_scene_goes_between_our_tcp_and_the_kernels_as_on_one_of_them(
    private_network: Namespace, scene: Scene, stage: Stage
) -> None:
    assert play(scene, stage) == on_the_kernel(scene)
