"""The shell functions of our curl scripts: POSIX sh, and any of mawk, gawk and busybox awk."""

from __future__ import annotations

STOP = """\
stop() {
  printf '%s: %s\\n' "$0" "$1" >&2
  exit 1
}"""

#: Bytes are written one by one, since awks disagree on backslashes in the replacement of gsub.
JSON = r"""# json TEXT: prints TEXT as a JSON string.
json() {
  TEXT=$1 LC_ALL=C awk 'BEGIN {
    for (code = 1; code < 32; code++) escaped[sprintf("%c", code)] = sprintf("\\u%04x", code)
    escaped["\""] = "\\\""
    escaped["\\"] = "\\\\"
    text = ENVIRON["TEXT"]
    size = length(text)
    printf "\""
    for (at = 1; at <= size; at++) {
      byte = substr(text, at, 1)
      printf "%s", (byte in escaped) ? escaped[byte] : byte
    }
    printf "\""
  }'
}"""

SEGMENT = r"""# segment TEXT: prints TEXT percent-encoded, as one part of a URL.
segment() {
  case $1 in
    . | ..) stop "a URL takes . and .. for folders: give the id in place of that name" ;;
  esac
  TEXT=$1 LC_ALL=C awk 'BEGIN {
    for (code = 1; code < 256; code++) encoded[sprintf("%c", code)] = sprintf("%%%02X", code)
    plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
    for (at = 1; at <= length(plain); at++) encoded[substr(plain, at, 1)] = substr(plain, at, 1)
    text = ENVIRON["TEXT"]
    size = length(text)
    for (at = 1; at <= size; at++) printf "%s", encoded[substr(text, at, 1)]
  }'
}"""

_POST = r"""# post URL: sends standard input there. An answer repeats the token, so only one that refuses is printed.
post() {
  answer=$(curl --fail-with-body --silent --show-error --globoff --request POST --write-out '%{http_code}' \
    --header 'Accept: application/json' --header 'Content-Type: application/json'@OPTION@ \
    --data-binary @- "$1"@HEADER@) || {
    failure=$?
    printf '%s\n' "${answer%???}" >&2
    exit "$failure"
  }
  case $answer in
    *2[0-9][0-9]) printf 'created: POST %s\n' "$1" ;;
    *) stop "not created: $1 answered with status ${answer#"${answer%???}"}" ;;
  esac
}"""


def post_function(header: str = "") -> str:
    """Return the function ``post``, which sends ``header`` too: a line that a shell may expand variables in.

    The header has a file descriptor of its own, for standard input is taken by the body.
    """
    option = " --header @/dev/fd/3" if header else ""
    here_document = f" 3<<HEADER\n{header}\nHEADER\n  " if header else ""
    return _POST.replace("@OPTION@", option).replace("@HEADER@", here_document)
