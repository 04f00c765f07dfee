"""What the name of a member says about its value.

Decisions:
* The last word of a name decides: `image_url` is a URL, `url_title` a title.
* Only kinds that a message has values of, or whose neutral value differs: everything else is a text.
"""

import re

from llmsim.budgets import remembered

_KINDS = {
    "path": "path paths file files filename filenames filepath filepaths pathname notebook",
    "directory": "directory directories dir dirs dirpath folder folders workdir cwd root workspace",
    "url": "url urls uri uris link links href website webpage domain endpoint",
    "pattern": "pattern patterns glob globs",
    "date": "date dates day deadline birthday dob since until",
    "noun": "city cities location locations place places town country countries region address venue destination origin "
    "name names person people customer user username contact company author artist owner assignee guest patient "
    "participant participants attendee attendees recipient recipients team",
    "query": "query queries q search keyword keywords term terms topic subject title question",
    "id": "id ids uuid guid key token hash sku",
}
_KIND_OF = {word: kind for kind, words in _KINDS.items() for word in words.split()}
_DIRECTORIES = frozenset("repo repository project root base working dir directory folder".split())
_FORMATS = {
    "uri": "url",
    "url": "url",
    "iri": "url",
    "date": "date",
    "date-time": "date-time",
}
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_LONGEST = 200


@remembered(maxsize=1024, max_chars=400)
def words_of(name: str) -> tuple[str, ...]:
    """Return the words of a name in `snake_case` or `camelCase`, in lower case."""
    return tuple(word.lower() for word in _WORD.findall(name[:_LONGEST]))


@remembered(maxsize=1024, max_chars=400)
def kind_of(name: str, form: str) -> str:
    """Return the kind of a member: a key of the table above, `date-time`, `format`, or empty for a text.

    Args:
        name: Its name.
        form: The format of its schema; empty for none.
    """
    if form:
        return _FORMATS.get(form, "format")
    words = words_of(name)
    if words[1:] and words[-1] in ("name", "names"):
        # A file name is a path, and a branch name no proper noun.
        return _KIND_OF.get(words[-2], "")
    kind = _KIND_OF.get(words[-1], "") if words else ""
    return "directory" if kind == "path" and not _DIRECTORIES.isdisjoint(words) else kind
