"""`/v1/files`: uploaded files.

Source: openai SDK, resources/files.py, types/file_object.py, file_create_params.py. Which purposes are not downloaded, and the words of
refusals, are as remembered, not verified.
"""

from collections.abc import Mapping

from llmsim.errors import ApiRuleError, InvalidFieldError
from llmsim.providers.contract import Download, EndpointContext, IncomingRequest, Reply, ResourceEndpoint
from llmsim.providers.forms import Form
from llmsim.providers.openai.object_lists import parse_query, read_page, render_list
from llmsim.providers.openai.stored_files import (
    FILE_KIND,
    ExpiresAfter,
    StoredFile,
    check_purpose,
    expiry,
    find_file,
    read_file,
    store_file,
)
from llmsim.wire.codec import encode

_LARGEST_PAGE = 10_000

_SECRET_PURPOSES = ("assistants", "user_data", "vision")
"""Files that the API does not give back."""


def required_form(request: IncomingRequest) -> Form:
    """Return the form of a request.

    Raises:
        ApiRuleError: The body is no form.
    """
    if request.form is None:
        sent = request.headers.get("content-type") or "none"
        raise ApiRuleError(
            f"Invalid Content-Type header ({sent[:100]}), expected multipart/form-data. (HINT: If you're using curl, you can "
            "pass -H 'Content-Type: multipart/form-data')",
            status=415,
        )
    return request.form


async def create(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Upload a file."""
    form = required_form(request)
    upload = form.file("file")
    purpose = check_purpose(form.get("purpose"))
    created = int(context.now())
    file = StoredFile(
        id=f"file-{context.new_id()}",
        created=created,
        size=upload.size,
        filename=upload.filename,
        purpose=purpose,
        expires_at=expiry(_parse_expiry(form.members("expires_after")), purpose, created),
    )
    await store_file(context, file, upload.pieces())
    return Reply(200, encode(file.render()))


def _parse_expiry(members: Mapping[str, str]) -> ExpiresAfter | None:
    if not members:
        return None
    for name in ("anchor", "seconds"):
        if name not in members:
            raise InvalidFieldError(("expires_after", name), "missing", None)
    text = members["seconds"]
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise InvalidFieldError(("expires_after", "seconds"), "type", "int", text)
    return ExpiresAfter(members["anchor"], int(text))


async def list_files(context: EndpointContext, request: IncomingRequest) -> Reply:
    """List files, the newest first by default."""
    query = parse_query(request.params, default=_LARGEST_PAGE, most=_LARGEST_PAGE)
    purpose = request.params.get("purpose")
    labels = {"purpose": purpose} if purpose else {}
    documents, has_more = await read_page(context, FILE_KIND, query, labels)
    now = context.now()
    return render_list(
        [document for document in documents if read_file(document.data).is_visible(now)],
        lambda document: read_file(document.data).render(),
        has_more=has_more,
    )


async def retrieve(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Return a file object."""
    return Reply(200, encode((await find_file(context, request.params["file_id"])).render()))


async def delete(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Delete a file."""
    file = await find_file(context, request.params["file_id"])
    await context.objects(FILE_KIND).delete(file.id)
    return Reply(200, encode({"object": "file", "id": file.id, "deleted": True}))


async def content(context: EndpointContext, request: IncomingRequest) -> Download:
    """Return the content of a file."""
    file = await find_file(context, request.params["file_id"])
    if file.purpose in _SECRET_PURPOSES:
        raise ApiRuleError(f"Not allowed to download files of purpose: {file.purpose}")
    return Download(file.id, file.size, filename=file.filename)


_ONE = "/v1/files/{file_id}"

FILES = (
    ResourceEndpoint(method="POST", label="files", path="/v1/files", run=create, takes_forms=True),
    ResourceEndpoint(method="GET", label="files", path="/v1/files", run=list_files),
    ResourceEndpoint(method="GET", label="files", path=_ONE, run=retrieve),
    ResourceEndpoint(method="DELETE", label="files", path=_ONE, run=delete),
    ResourceEndpoint(method="GET", label="files", path=f"{_ONE}/content", run=content),
)
