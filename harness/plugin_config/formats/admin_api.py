"""``admin-api``: a shell script that creates plugins through the gateway's Admin API with curl."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..entity import PluginEntity
from .curl_text import Api, documented, script
from .format import CannotExpress, Limit, OutputFile, RenderOptions

SCRIPT = "admin-api.sh"

# RFC 3986, without what curl takes for a pattern, or a shell for a variable between double quotes.
_URL = re.compile(r"[A-Za-z0-9._~:/%@!&'()*+,;=\[\]-]+")


@dataclass(frozen=True, slots=True)
class AdminApi:
    """Writes a script for ``sh``: safe with secrets, or as on the vendor's pages."""

    name: str = "admin-api"
    title: str = "Admin API calls: a shell script with curl"
    limits: Sequence[Limit] = ()

    def render(self, entities: Sequence[PluginEntity], options: RenderOptions) -> list[OutputFile]:
        """Return ``admin-api.sh``.

        Raises CannotExpress for text that no JSON or URL can carry, and for an ``admin_url`` that would put a
        password into the arguments of a process.
        """
        url = self._base(options.admin_url)
        api = Api(
            format_name=self.name,
            title="Creates plugins through the gateway's Admin API",
            base=url,
            documented_base=shlex.quote(url),
            documented_command="curl -i -X POST",
            documented_headers=("Accept: application/json", "Content-Type: application/json"),
            open_segment="{{kind}Name|Id}",
            open_variable="{KIND}",
            open_content="the name or id of the {Kind}",
            names_in_body=True,
        )
        write = documented if options.as_documented else script
        return [OutputFile(SCRIPT, write(api, entities))]

    def _base(self, admin_url: str) -> str:
        if not _URL.fullmatch(admin_url):
            reason = "it holds characters that no URL has outside its query"
            raise CannotExpress(self.name, "admin_url", reason, "write them percent-encoded")
        if "@" in urlsplit(admin_url).netloc:
            reason = "a password in it would be in the arguments of curl, for everyone on the machine to read"
            raise CannotExpress(self.name, "admin_url", reason, "put it in ~/.curlrc: user = NAME:PASSWORD")
        return admin_url.rstrip("/")


FORMAT = AdminApi()
