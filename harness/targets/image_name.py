"""Names of gateway images: what a name says of the image, before anybody looks at it."""

from __future__ import annotations

#: The image that is run when none is asked for.
DEFAULT_IMAGE = "kong/kong-gateway:3.14"


def is_enterprise(image: str) -> bool:
    """Return whether the image's name is that of Kong Enterprise, which has the plugin and wants a licence."""
    return name_and_tag(image)[0] == "kong-gateway"


def name_and_tag(image: str) -> tuple[str, str]:
    """Return name and tag (empty for none), without registry, folder and digest."""
    name, _, tag = image.partition("@")[0].rpartition("/")[2].partition(":")
    return name, tag
