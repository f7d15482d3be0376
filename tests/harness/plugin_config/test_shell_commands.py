"""Words of a shell script, undone as the shells themselves undo them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.plugin_config.formats.shell_commands import UNKNOWN, Word, commands

_PLAIN = st.text("ab1{}=-/#:@%+", min_size=1, max_size=4)
_INSIDE = st.text("ab $`'\"\\\n#;&|<>(){}é!", max_size=8)


def _double_quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("`", "\\`") + '"'


def _backslashes_kept(text: str) -> str:
    return '"' + "".join(character for character in text if character not in '"$`') + 'z"'


_PIECES = st.one_of(
    _PLAIN,
    _INSIDE.map(lambda text: "'" + text.replace("'", "") + "'"),
    _INSIDE.map(_double_quoted),
    _INSIDE.map(_backslashes_kept),
    st.sampled_from(["\\$", "\\ ", "\\'", '\\"', "\\\\", "\\#", "\\\n", "\\|", "\\é"]),
)
_WORDS = st.lists(_PIECES, min_size=1, max_size=4).map("".join).filter(lambda word: word[0] not in "#\\")
_EXPANDED = st.lists(
    st.sampled_from(["\\$", "\\`", "\\\\", "\\a", '\\"', "a", "\n", "\\\n", "$ ", "'", '"', "é", "EOF z", " EOF"]),
    max_size=8,
).map("".join)
_HERE_DOCUMENTS = st.one_of(
    _INSIDE.map(lambda text: (text, "'EOF'")),
    _EXPANDED.map(lambda text: (text + "z", "EOF")),
)
_COMMANDS = st.lists(st.tuples(st.lists(_WORDS, min_size=1, max_size=4), _HERE_DOCUMENTS), min_size=5, max_size=5)

_SHOW = r"""show() { printf '%s\0' "$#" "$@"; cat; printf '\0'; }
"""


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_words_and_here_documents_are_what_a_shell_makes_of_them(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    path = tmp_path / "script.sh"

    @settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(_COMMANDS)
    def check(given_commands: list[tuple[list[str], tuple[str, str]]]) -> None:
        text = _SHOW
        began: list[int] = []
        for words, (document, end) in given_commands:
            began.append(text.count("\n") + 1)
            text += f"show {' '.join(words)} <<{end} # it's\n{document}\nEOF\n"
        path.write_text(text, encoding="utf-8")
        shown = subprocess.run([shell, str(path)], stdin=subprocess.DEVNULL, capture_output=True, check=True)
        fields = iter(shown.stdout.decode().split("\0"))
        found = [command for command in commands(text) if command.stdin is not None]
        assert [command.line for command in found] == began
        for command in found:
            assert [word.text for word in command.words[1:]] == [next(fields) for _ in range(int(next(fields)))]
            assert command.stdin is not None
            assert command.stdin.text == next(fields)
        assert list(fields) == [""]

    check()


def words(text: str) -> list[list[str]]:
    return [[word.text for word in command.words] for command in commands(text)]


def test_commands_end_at_operators_and_line_breaks() -> None:
    assert words("a b; c && d || e | f & (g)\nh \\\n i # j\n\n") == [
        ["a", "b"],
        ["c"],
        ["d"],
        ["e"],
        ["f"],
        ["g"],
        ["h", "i"],
    ]


def test_redirections_are_no_words() -> None:
    assert words("a >b 2>&1 < c 3<d >>e 2 f") == [["a", "2", "f"]]


def test_only_a_here_document_for_standard_input_is_kept() -> None:
    (command,) = commands("a 3<<X <<Y 4<<Z\nx\nX\ny\nY\nz\nZ\n")
    assert command.stdin == Word("y\n", {}, [4, 5])


def test_each_line_of_a_word_knows_its_line_in_the_script() -> None:
    (command,) = commands("a \\\n'b\nc'\"\nd\\\ne\nf\"")
    word = command.words[1]
    assert word.text == "b\nc\nde\nf"
    assert word.lines == [2, 3, 4, 6]


def test_expansions_are_unknown_and_named_when_they_are_plain_variables() -> None:
    command = commands('a$B\'$C\'"${D}e${F:?g "}"}$(h | i "j)")`k`$1${L:-m}"')[0]
    (word,) = command.words
    assert word.text == f"a{UNKNOWN}$C{UNKNOWN}e" + UNKNOWN * 5
    assert list(word.expansions.values()) == ["B", "D", "F", "", "", "", ""]
    assert not word.is_literal


def test_commands_in_a_substitution_count_too() -> None:
    assert words("a=$(b c\nd)\ne") == [["a=0"], ["b", "c"], ["d"], ["e"]]


def test_a_function_is_marked_where_it_is_defined() -> None:
    assert [command.function for command in commands("f() {\n a\n}\nb")] == [True, False, False, False, False]
