"""The language of code and documentation: terms of the field, no private words."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "llmsim"
CODE = [
    path
    for name in ("llmsim", "loadtest", "scripts", "tests")
    for path in sorted((ROOT / name).rglob("*.py"))
]
CODE += [
    ROOT / "scripts" / name
    for name in ("update-catalogue", "update-coverage", "update-known-fields", "plot-shapes")
]
PAGES = [path for name in ("", "docs", "specs") for path in sorted((ROOT / name).glob("*.md"))]

PRIVATE_PARTS = {"told", "said", "tell", "tells", "telling", "heard"}
PRIVATE_OPENING = re.compile(r"(Tell|Say|Give|Take|Pour|Put out|Bury|Hand|Look|See(?! `)|Let|Hear|Speak)\b")
PRIVATE_WORDS = re.compile(
    r"\b(whoever|nobody|everybody|anybody|house|rooms|(?:a|an|its own|this|that|the \w+) room|dice|(?<!there )(?:is|are) none)\b"
)


def group(path: Path) -> str:
    """Return the package that a file belongs to: a package of llmsim, else the top directory."""
    parts = path.relative_to(ROOT).parts
    return "/".join(parts[:2]) if parts[0] == "llmsim" and len(parts) > 2 else parts[0]


CODE_GROUPS = sorted({group(path) for path in CODE})
PACKAGE_GROUPS = [name for name in CODE_GROUPS if name.startswith("llmsim")]


def files(name: str) -> list[Path]:
    return [path for path in CODE if group(path) == name]


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def place(path: Path, line: int, what: str) -> str:
    return f"{path.relative_to(ROOT)}:{line}: {what}"


def word_parts(identifier: str) -> set[str]:
    """Return the words of a `snake_case` or `CamelCase` identifier, in lower case."""
    return {part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", identifier)}


def identifiers(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield each identifier that a module defines or uses, with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield node.lineno, name
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                yield node.lineno, name
            case ast.keyword(arg=str(name)) | ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
                yield node.lineno, name
            case ast.Import() | ast.ImportFrom():
                for alias in node.names:
                    yield node.lineno, alias.asname or alias.name


def comments(path: Path) -> Iterator[tuple[int, str]]:
    """Yield docstrings, also those of attributes, and comments of a module, each with its first line."""
    text = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Expr(value=ast.Constant(value=str(docstring))):
                yield node.lineno, docstring
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


@pytest.mark.parametrize(
    ("identifier", "parts"),
    [
        ("told_forms", {"told", "forms"}),
        ("_ToldBounds", {"told", "bounds"}),
        ("HTTPTeller", {"http", "teller"}),
        ("MOST_SAID2", {"most", "said"}),
        ("retell", {"retell"}),
    ],
)
def test_identifiers_are_split_into_words(identifier: str, parts: set[str]) -> None:
    """MAINT-4.11: A private word counts as a whole part of an identifier only."""
    assert word_parts(identifier) == parts


@pytest.mark.parametrize("name", CODE_GROUPS)
def test_identifiers_have_no_private_words(name: str) -> None:
    """MAINT-4.11: No module, class, function, argument, attribute or variable is named told, said, tell or heard."""
    found = [place(path, 1, path.stem) for path in files(name) if word_parts(path.stem) & PRIVATE_PARTS]
    for path in files(name):
        found += [
            place(path, line, identifier)
            for line, identifier in identifiers(parsed(path))
            if word_parts(identifier) & PRIVATE_PARTS
        ]

    assert found == []


@pytest.mark.parametrize("name", PACKAGE_GROUPS)
def test_docstrings_open_with_a_verb_of_the_trade(name: str) -> None:
    """MAINT-4.11: No public function's docstring opens with Tell, Say, Give, Take, Hand, Look or the like."""
    found = [
        place(path, node.lineno, f"{node.name}: {opening[0]}")
        for path in files(name)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_")
        if (opening := PRIVATE_OPENING.match(ast.get_docstring(node) or ""))
    ]

    assert found == []


@pytest.mark.parametrize("name", PACKAGE_GROUPS)
def test_comments_have_no_private_words(name: str) -> None:
    """MAINT-4.11: Docstrings and comments speak of clients, callers and packages: not of whoever, nobody, rooms, dice."""
    found = [
        place(path, line, match[0])
        for path in files(name)
        for line, text in comments(path)
        for match in PRIVATE_WORDS.finditer(text)
    ]

    assert found == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_have_no_private_words(page: Path) -> None:
    """MAINT-4.11: Documentation and specs speak of users, clients and packages."""
    lines = page.read_text(encoding="utf-8").splitlines()
    found = [
        place(page, number, match[0])
        for number, line in enumerate(lines, 1)
        for match in PRIVATE_WORDS.finditer(line)
    ]

    assert found == []
