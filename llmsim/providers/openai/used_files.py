"""What a prompt names: uploaded files, which must exist, and vector stores, in which its file search finds real texts.

Decisions:
* The query of a search is generated, and not known when the stores are read: what fits the last message is what is found.
"""

from typing import Any

from msgspec.structs import replace

from llmsim.providers.contract import EndpointContext, ParsedRequest
from llmsim.providers.openai.stored_files import find_file
from llmsim.providers.openai.stored_vector_stores import find_store
from llmsim.providers.openai.vector_stores import find_chunks
from llmsim.providers.openai_family.field_messages import format_path
from llmsim.providers.openai_family.responses.options import FoundText, ResponseOptions

_MOST_QUERY = 2_000
"""Characters of the last message that are searched for."""


async def load_files(context: EndpointContext, parsed: ParsedRequest[Any]) -> ParsedRequest[Any]:
    """Return a request with what its file search will find.

    Raises:
        ApiRuleError: A file or a vector store does not exist.
    """
    stores = []
    for use in parsed.files:
        if use.path[0] == "tools":
            stores.append(await find_store(context, use.id, format_path(use.path)))
        else:
            await find_file(context, use.id, param=format_path(use.path))
    if not stores:
        return parsed
    options: ResponseOptions = parsed.options
    texts = parsed.prompt.messages[-1].texts if parsed.prompt.messages else ()
    query = " ".join(texts)[-_MOST_QUERY:]
    chunks = await find_chunks(context, None, stores, [query], None, most=options.tools.most_found)
    found = tuple(
        FoundText(chunk.attributes, chunk.file_id, chunk.filename, chunk.score, chunk.text)
        for chunk in chunks
    )
    return replace(parsed, options=replace(options, tools=replace(options.tools, found=found)))
