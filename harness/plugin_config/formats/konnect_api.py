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
        variables: dict[str, Variable] = {}
        if options.region is None:
            variables["region"] = _REGION
        if control_plane is None:
            variables["control_plane"] = _CONTROL_PLANE
        api = Api(
            format_name=self.name,
            title="Creates plugins through Konnect's control plane API",
            base=_base(options.region or "$region", control_plane or "$control_plane"),
            documented_base=_base(options.region or "{region}", control_plane or "{controlPlaneId}"),
            documented_command="curl -X POST",
            documented_headers=(
                "accept: application/json",
                "Content-Type: application/json",
                f"Authorization: Bearer ${_TOKEN.name}",
            ),
            open_segment="{{kind}Id}",
            open_variable="{KIND}_ID",
            open_content="the id of the {Kind}",
            names_in_body=False,
            variables=variables,
            token=_TOKEN,
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
