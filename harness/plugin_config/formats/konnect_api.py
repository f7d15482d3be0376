"""``konnect-api``: a shell script that creates plugins through Konnect's control plane API with curl."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from ..entity import PluginEntity
from .curl_text import Api, Variable, documented, script
from .format import CannotExpress, Limit, OutputFile, RenderOptions

SCRIPT = "konnect-api.sh"

_TOKEN = Variable("KONNECT_TOKEN", "a personal or system account access token of Konnect")
_REGION = Variable("KONNECT_REGION", "the region of the control plane, such as us or eu")
_CONTROL_PLANE = Variable("CONTROL_PLANE_ID", "the id of the control plane")
_AUTHORIZATION = f"Authorization: Bearer ${_TOKEN.name}"

#: A line break in it would begin a header of its own.
_TOKEN_CHECK = f"""\
case ${_TOKEN.name} in
  *[[:space:][:cntrl:]]*) stop "{_TOKEN.name} holds white space, which is no part of a token" ;;
esac"""
#: With a slash in it, the token would go to another host.
_REGION_CHECK = f"""\
case ${_REGION.name} in
  *[!A-Za-z0-9-]*) stop "{_REGION.name} is no region: write one such as us or eu" ;;
esac"""


@dataclass(frozen=True, slots=True)
class KonnectApi:
    """Writes a script for ``sh``: safe with secrets, or as on the vendor's pages."""

    name: str = "konnect-api"
    title: str = "Konnect API calls: a shell script with curl"
    limits: Sequence[Limit] = (
        Limit(
            "scope",
            "in a combination, all but the first of service, route and consumer go by their id; for the first, "
            "Konnect's pages promise no more than the id either, and a name is put in the path as it is",
        ),
    )

    def render(self, entities: Sequence[PluginEntity], options: RenderOptions) -> list[OutputFile]:
        """Return ``konnect-api.sh``; region and control plane come from variables when ``options`` lack them.

        Raises CannotExpress for text that no JSON or URL can carry, a region that is none, and a combination of
        scopes that are given by name.
        """
        if options.region is not None and not re.fullmatch(r"[A-Za-z0-9-]+", options.region):
            raise CannotExpress(self.name, "region", "it is no part of a host's name", "give one such as us or eu")
        control_plane = None if options.control_plane is None else self._segment(options.control_plane)
        variables = [_TOKEN]
        checks = [_TOKEN_CHECK]
        if options.region is None:
            variables.append(_REGION)
            checks.append(_REGION_CHECK)
        segments: dict[str, Variable] = {}
        if control_plane is None:
            variables.append(_CONTROL_PLANE)
            segments["control_plane"] = _CONTROL_PLANE
        api = Api(
            format_name=self.name,
            title="Creates plugins through Konnect's control plane API",
            base=_base(options.region or f"${_REGION.name}", control_plane or "$control_plane"),
            documented_base=_base(options.region or "{region}", control_plane or "{controlPlaneId}"),
            documented_command="curl -X POST",
            documented_headers=(
                "accept: application/json",
                "Content-Type: application/json",
                _AUTHORIZATION,
            ),
            open_segment="{{kind}Id}",
            open_variable="{KIND}_ID",
            open_content="the id of the {Kind}",
            names_in_body=False,
            variables=tuple(variables),
            segments=segments,
            checks=tuple(checks),
            header=_AUTHORIZATION,
        )
        write = documented if options.as_documented else script
        return [OutputFile(SCRIPT, write(api, entities))]

    def _segment(self, control_plane: str) -> str:
        try:
            segment = quote(control_plane, safe="")
        except UnicodeEncodeError:
            segment = ""
        if segment in ("", ".", "..") or len(segment) > 1000:
            raise CannotExpress(self.name, "control_plane", "it is no control plane's id", "give its id")
        return segment


FORMAT = KonnectApi()


def _base(region: str, control_plane: str) -> str:
    return f"https://{region}.api.konghq.com/v2/control-planes/{control_plane}/core-entities"
