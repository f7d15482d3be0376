"""Images of gateways: which plugin and which version one has, whether it needs a licence, and that it is there."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.targets.containers import EMULATED_LABEL, Engine
from harness.targets.gateway_version import profile_for
from harness.targets.image_name import DEFAULT_IMAGE, is_enterprise, name_and_tag
from harness.targets.licence import Licence
from harness.targets.stand_in import PROFILE as STAND_IN_PROFILE
from harness.targets.target import TargetUnavailableError
from plugin_emulator.gateway.kong_environment import VERSION_VARIABLE

Plugin = Literal["own", "stand-in"]

#: Where Kong's images say their version.
_KONG_VERSION = "KONG_VERSION"
_VERSION_TAG = re.compile(r"\d+\.\d+")


@dataclass(frozen=True, slots=True)
class GatewayImage:
    """An image that is there. ``version`` is that of the gateway in it, None when neither image nor tag tells."""

    name: str
    emulated: bool
    plugin: Plugin
    version: str | None

    def profile(self, asked: str | None) -> str:
        """Return the profile by which its gateway is judged. Raises TargetUnavailableError for one that cannot be."""
        if self.emulated:  # it plays any version that it is told to
            return asked or profile_for(self.version, None)
        if self.plugin == "stand-in":  # the version of the Kong around it says nothing
            return asked or STAND_IN_PROFILE
        return profile_for(self.version, asked)


def provide(engine: Engine, image: str, plugin: Plugin | None, licence: Licence | None) -> GatewayImage:
    """Return the image, fetched when it is not there; one that wants a licence only when there is a valid one.

    ``plugin`` None is the image's usual one. Raises TargetUnavailableError.
    """
    labels = engine.image_labels(image)
    if EMULATED_LABEL not in (labels or {}):
        _check_licence(image, plugin, licence)  # before a gigabyte is fetched
    if labels is None:
        engine.pull(image)
        labels = engine.image_labels(image) or {}
    emulated = EMULATED_LABEL in labels
    environment = engine.image_environment(image)
    version = environment.get(VERSION_VARIABLE if emulated else _KONG_VERSION) or (
        None if emulated else _tagged(image)
    )
    return GatewayImage(image, emulated, plugin or ("own" if is_enterprise(image) else "stand-in"), version)


def images_here(engine: Engine) -> list[str]:
    """Return the images that ``--target docker`` can run: Kong's, and those of the emulated gateway."""
    found: list[str] = []
    for name in engine.images():
        repository = name_and_tag(name)[0]
        if repository in ("kong", "kong-gateway") or EMULATED_LABEL in (engine.image_labels(name) or {}):
            found.append(name)
    return found


def nearest_to_kong(images: Sequence[str], *, licensed: bool) -> str | None:
    """Return, of images that are there, the one to run: the default, else Enterprise, else Kong, else any.

    Enterprise only with a valid licence; None when nothing is left.
    """
    usable = [image for image in images if licensed or not is_enterprise(image)]

    def farness(image: str) -> tuple[bool, bool, bool]:
        kong = is_enterprise(image) or name_and_tag(image)[0] == "kong"
        return image != DEFAULT_IMAGE, not is_enterprise(image), not kong

    return min(usable, key=farness, default=None)


def wants_licence(image: str, plugin: Plugin | None) -> bool:
    """Return whether a gateway of this image with this plugin (None: the image's usual one) runs on a licence."""
    return is_enterprise(image) or plugin == "own"


def _tagged(image: str) -> str | None:
    tag = name_and_tag(image)[1]
    return tag if _VERSION_TAG.match(tag) else None


def _check_licence(image: str, plugin: Plugin | None, licence: Licence | None) -> None:
    """Raise TargetUnavailableError when image or plugin want a licence and there is no valid one."""
    if not wants_licence(image, plugin):
        return
    if licence is None:
        raise TargetUnavailableError(
            f"{image} needs a licence: set KONG_LICENSE_DATA or give --license-file FILE; "
            "an image without one is kong:3.9, which runs the stand-in plugin"
        )
    if not licence.valid(datetime.datetime.now(datetime.UTC).date()):
        raise TargetUnavailableError(
            f"the licence for {image} expired on {licence.expires} ({licence.origin}): renew it, "
            "or use kong:3.9, which runs the stand-in plugin"
        )
