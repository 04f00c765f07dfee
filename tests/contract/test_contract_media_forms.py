"""Edits, variations and transcripts: requests that are forms."""

import io
import json
from typing import Any

import pytest
from PIL import Image
from support.asgi import Exchange, Simulator, simulator
from support.forms import TYPE, form

from llmsim.media.sounds import wave_header

File = tuple[str, str, bytes]


def png(width: int, height: int) -> bytes:
    output = io.BytesIO()
    Image.new("RGB", (width, height)).save(output, "PNG")
    return output.getvalue()


def sound(seconds: float) -> bytes:
    samples = bytes(int(seconds * 24_000) * 2)
    return wave_header(len(samples)) + samples


async def send(
    path: str,
    fields: dict[str, Any],
    *files: File,
    worker: Simulator | None = None,
    headers: dict[str, str] | None = None,
) -> Exchange:
    """Send a form; a list is sent as a field for each of its elements."""
    pairs = [
        (f"{name}[]" if isinstance(value, list) else name, one)
        for name, value in fields.items()
        for one in (value if isinstance(value, list) else [value])
    ]
    parts = [
        b'--XX\r\ncontent-disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (n.encode(), str(v).encode())
        for n, v in pairs
    ]
    parts += [
        b'--XX\r\ncontent-disposition: form-data; name="%b"; filename="%b"\r\n\r\n%b\r\n'
        % (n.encode(), f.encode(), data)
        for n, f, data in files
    ]
    sent = {"content-type": "multipart/form-data; boundary=XX"} | (headers or {})
    body = b"".join(parts) + b"--XX--\r\n"
    path, _, query = (path if path.startswith("/") else f"/openai/v1/{path}").partition("?")
    return await (worker or simulator()).ask("POST", path, body, headers=sent, query=query)


def events(exchange: Exchange) -> list[Any]:
    return [json.loads(line[6:]) for line in exchange.body.splitlines() if line.startswith(b"data: {")]


EDIT = {"model": "gpt-image-2.5-flare", "prompt": "Blue", "size": "64x64", "quality": "low"}
WHISPER = {"model": "whisper-1"}
RECORDING: File = ("file", "a.wav", sound(4))


class TestPictures:
    """Edits and variations."""

    async def test_an_edit(self) -> None:
        """MEDIA-2.7: Its pictures cost tokens by their size."""
        asked = await send(
            "images/edits",
            EDIT | {"n": 2},
            ("image[]", "a.png", png(300, 600)),
            ("image[]", "b.png", png(64, 64)),
        )

        assert asked.status == 200
        assert len(asked.json["data"]) == 2
        assert asked.json["usage"]["input_tokens_details"] == {
            "image_tokens": 65 + 2 * 129 + 65 + 129,
            "text_tokens": 1,
        }

    async def test_an_edit_streams(self) -> None:
        """MEDIA-2.7: With events of its own."""
        asked = await send(
            "images/edits", EDIT | {"stream": "true", "partial_images": 1}, ("image", "a.png", png(64, 64))
        )

        assert [event["type"] for event in events(asked)] == [
            "image_edit.partial_image",
            "image_edit.completed",
        ]

    async def test_a_variation(self) -> None:
        """MEDIA-2.8: It depends on the picture, and is at an address."""
        found = [
            (
                await send(
                    "images/variations", {"size": "256x256", "n": 2}, ("image", "a.png", png(side, side))
                )
            ).json
            for side in (64, 65, 64)
        ]
        first, other, same = ([image["url"] for image in one["data"]] for one in found)

        assert len(set(first)) == 2
        assert first == same != other

    @pytest.mark.parametrize(
        ("path", "fields", "files", "param"),
        [
            ("edits", EDIT, [], "image"),
            ("edits", EDIT, [("image", "a.png", b"x")] * 17, "image"),
            ("edits", EDIT | {"n": "x"}, [("image", "a.png", b"x")], "n"),
            ("edits", EDIT | {"stream": "maybe"}, [("image", "a.png", b"x")], "stream"),
            ("variations", {"model": "gpt-image-1"}, [("image", "a.png", b"x")], "model"),
            ("variations", {}, [("image", "a.png", png(64, 65))], "image"),
            ("variations", {}, [("image", "a.png", bytes(4_000_001))], "image"),
        ],
        ids=lambda value: str(value)[:30],
    )
    async def test_what_is_refused(self, path: str, fields: Any, files: list[File], param: str) -> None:
        """MEDIA-2.7, MEDIA-2.8: By the name of the field."""
        refused = await send(f"images/{path}", fields, *files)

        assert (refused.status, refused.json["error"]["param"]) == (400, param)

    @pytest.mark.parametrize(
        ("path", "model", "kinds", "name"),
        [
            ("edits", "gpt-image-1", ["image/gif"], "image"),
            ("edits", "gpt-image-1", ["image/png", "text/plain; charset=utf-8"], "image[1]"),
            ("edits", "dall-e-2", ["image/jpeg"], "image"),
            ("variations", "dall-e-2", ["image/webp"], "image"),
            ("edits", "gpt-image-1", ["image/webp", "application/octet-stream", ""], ""),
        ],
    )
    async def test_types_of_files(self, path: str, model: str, kinds: list[str], name: str) -> None:
        """MEDIA-2.9: What is declared to be no picture that the model takes is refused."""
        field = "image[]" if len(kinds) > 1 else "image"
        head = f'--XX\r\nContent-Disposition: form-data; name="{field}"; filename="a"\r\n'
        parts = [head + (f"Content-Type: {kind}\r\n" if kind else "") + "\r\nx\r\n" for kind in kinds]
        fields = [("model", model.encode()), *([("prompt", b"A cat")] if path == "edits" else [])]
        body = "".join(parts).encode() + form(*fields)
        asked = await simulator().ask(
            "POST", f"/openai/v1/images/{path}", body, headers={"content-type": TYPE}
        )

        assert asked.status == (400 if name else 200)
        if name:
            error = asked.json["error"]
            assert (error["param"], error["code"]) == (name, "unsupported_file_mimetype")
            kind = kinds[-1].partition(";")[0]
            assert error["message"].startswith(
                f"Invalid file '{name}': unsupported mimetype ('{kind}'). Supp"
            )


class TestTranscripts:
    """The words of a recording."""

    @pytest.mark.parametrize("path", ["transcriptions", "translations"])
    @pytest.mark.parametrize(
        ("text_format", "begins", "kind"),
        [
            ("json", b'{"text":"', "application/json"),
            ("verbose_json", b'{"task":"trans', "application/json"),
            ("text", b"", "text/plain; charset=utf-8"),
            ("srt", b"1\n00:00:00,000 --> 00:00:", "text/plain; charset=utf-8"),
            ("vtt", b"WEBVTT\n\n00:00:00.000 --> 00:00:", "text/plain; charset=utf-8"),
        ],
    )
    async def test_formats(self, path: str, text_format: str, begins: bytes, kind: str) -> None:
        """MEDIA-4.1, MEDIA-5.1: With a fixed type."""
        asked = await send(f"audio/{path}", WHISPER | {"response_format": text_format}, RECORDING)

        assert asked.status == 200
        assert asked.body.startswith(begins)
        assert asked.headers["content-type"] == kind
        assert asked.headers["x-content-type-options"] == "nosniff" or path == "translations"

    async def test_times(self) -> None:
        """MEDIA-4.2: Segments and words are within the recording, one after the other."""
        fields = WHISPER | {"response_format": "verbose_json", "timestamp_granularities": ["word", "segment"]}
        answer = (await send("audio/transcriptions", fields, RECORDING)).json

        assert answer["duration"] == 4.0
        assert [word["word"] for word in answer["words"]] == answer["text"].replace(".", "").split()
        for spans in (answer["segments"], answer["words"]):
            times = [time for one in spans for time in (one["start"], one["end"])]
            assert times == sorted(times)
            assert 0 <= times[0] <= times[-1] <= 4.0
        only_words = (
            await send("audio/transcriptions", fields | {"timestamp_granularities": ["word"]}, RECORDING)
        ).json
        assert "segments" not in only_words

    @pytest.mark.parametrize(("seconds", "most"), [(1, 3), (4, 12)])
    async def test_the_text_fits_the_time(self, seconds: int, most: int) -> None:
        """MEDIA-4.2: No more is transcribed than can be spoken."""
        fields = {"model": "gpt-4o-transcribe"}
        usage = (await send("audio/transcriptions", fields, ("file", "a.wav", sound(seconds)))).json["usage"]

        assert usage["output_tokens"] <= most
        assert usage["input_token_details"]["audio_tokens"] == 10 * seconds

    async def test_usage(self) -> None:
        """MEDIA-4.3: In tokens, of Whisper in seconds; a prompt counts."""
        by_time = (await send("audio/transcriptions", WHISPER, RECORDING)).json["usage"]
        fields = {"model": "gpt-4o-transcribe", "prompt": "Hello world"}
        counted = (await send("audio/transcriptions", fields, RECORDING)).json["usage"]

        assert by_time == {"type": "duration", "seconds": 4}
        assert counted["input_token_details"] == {"text_tokens": 2, "audio_tokens": 40}
        assert counted["total_tokens"] == 42 + counted["output_tokens"]

    async def test_speakers(self) -> None:
        """MEDIA-4.1: By their names."""
        worker = simulator(generator="fixed:Hello. Hi. How?")
        fields = {
            "model": "gpt-4o-transcribe-diarize",
            "response_format": "diarized_json",
            "known_speaker_names": ["Ann", "Bob"],
        }
        answer = (await send("audio/transcriptions", fields, RECORDING, worker=worker)).json

        assert [(one["speaker"], one["text"]) for one in answer["segments"]] == [
            ("Ann", "Hello."),
            ("Bob", "Hi."),
            ("Ann", "How?"),
        ]

    async def test_a_stream(self) -> None:
        """MEDIA-4.4: A delta for each token, then the whole text with its usage."""
        fields = {"model": "gpt-4o-mini-transcribe", "stream": "true", "include": ["logprobs"]}
        *deltas, done = events(await send("audio/transcriptions", fields, RECORDING))

        assert {event["type"] for event in deltas} == {"transcript.text.delta"}
        assert done["type"] == "transcript.text.done"
        assert done["text"] == "".join(event["delta"] for event in deltas)
        assert done["usage"]["output_tokens"] == len(deltas) == len(done["logprobs"])
        assert all(event["logprobs"] for event in deltas)

    async def test_whisper_does_not_stream(self) -> None:
        """MEDIA-4.4: It answers whole."""
        assert "text" in (await send("audio/transcriptions", WHISPER | {"stream": "true"}, RECORDING)).json

    async def test_a_script_plays(self) -> None:
        """MEDIA-4.5: Its text is that of the script, however long."""
        worker = simulator()
        script = {"turns": [{"type": "assistant", "text": "word " * 50}]}
        assert (await worker.ask("PUT", "/llmsim/scripts/t", json.dumps(script).encode())).status in (
            200,
            201,
        )
        headers = {"x-llmsim-script": "t", "x-llmsim-session": "t"}
        answer = await send("audio/transcriptions", WHISPER, RECORDING, worker=worker, headers=headers)

        assert answer.json["text"] == "word " * 50

    @pytest.mark.parametrize(
        ("fields", "file", "param"),
        [
            ({}, RECORDING, "model"),
            (WHISPER, ("file", "a.txt", b"x" * 9999), "file"),
            (WHISPER, ("file", "a.wav", b""), "file"),
            (WHISPER, ("file", "a.wav", sound(0.05)), "file"),
            (WHISPER, ("sound", "a.wav", sound(1)), "file"),
            (WHISPER | {"temperature": 3}, RECORDING, "temperature"),
            (WHISPER | {"include": ["logprobs"]}, RECORDING, "include"),
            (WHISPER | {"timestamp_granularities": ["word"]}, RECORDING, "timestamp_granularities"),
            ({"model": "gpt-4o-transcribe", "response_format": "srt"}, RECORDING, "response_format"),
        ],
        ids=lambda value: str(value)[:40],
    )
    async def test_what_is_refused(self, fields: dict[str, Any], file: File, param: str) -> None:
        """MEDIA-4.6: By the name of the field."""
        refused = await send("audio/transcriptions", fields, file)

        assert (refused.status, refused.json["error"]["param"]) == (400, param)

    async def test_a_recording_that_is_too_large(self) -> None:
        """MEDIA-4.6: Gets 413, with the size."""
        refused = await send("audio/transcriptions", WHISPER, ("file", "a.mp3", bytes(26_214_401)))

        assert refused.status == 413
        assert "26214401 bytes read" in refused.json["error"]["message"]


@pytest.mark.parametrize(
    "path", ["images/edits", "images/variations", "audio/transcriptions", "audio/translations"]
)
@pytest.mark.parametrize("body", [b"{}", b"", b"\xff"], ids=repr)
async def test_other_bodies(path: str, body: bytes) -> None:
    """MEDIA-4.6: What is no form is refused, and never a bug."""
    refused = await simulator().ask("POST", f"/openai/v1/{path}", body)

    assert refused.status == 400
    assert "multipart" in refused.json["error"]["message"]


async def test_deep_names() -> None:
    """MEDIA-4.8: A name is as deep as it says; what could not be written as JSON is refused."""
    fields = WHISPER | {"a" + "[b]" * 300: "1"}
    refused = await send("audio/transcriptions", fields, RECORDING)

    assert refused.status == 400
    assert "nesting" in refused.json["error"]["message"]


async def test_faults_hold_for_forms() -> None:
    """MEDIA-4.7: As everywhere; requests are counted by endpoint."""
    worker = simulator(errors={"rate_limit_rate": 1.0})
    refused = await send("audio/transcriptions", WHISPER, RECORDING, worker=worker)

    assert refused.status == 429
    assert worker.stats().rate_limit_errors == 1


@pytest.mark.parametrize(
    ("path", "fields", "unknown"),
    [
        ("audio/transcriptions", WHISPER, "x"),
        ("audio/translations", WHISPER, "x"),
        ("files", {"purpose": "user_data", "expires_after[anchor]": "created_at"}, "expires_after.x"),
    ],
)
async def test_unknown_fields_in_strict_mode(path: str, fields: dict[str, Any], unknown: str) -> None:
    """API-4.1: A form's are refused like those of JSON, and nothing is stored of it."""
    worker = simulator(server={"strict": True})
    name = "expires_after[x]" if "." in unknown else unknown
    if "." in unknown:
        fields |= {"expires_after[seconds]": 3600}
    taken = await send(path, fields, RECORDING, worker=worker)
    before = await worker.ask("GET", "/openai/v1/files")
    refused = await send(path, fields | {name: 1}, RECORDING, worker=worker)
    after = await worker.ask("GET", "/openai/v1/files")

    assert (taken.status, refused.status) == (200, 400)
    assert refused.json["error"]["param"] == unknown
    assert after.json == before.json


async def test_the_deployment_names_the_model() -> None:
    """AZR-1.4: In a form, too; a model of its own goes first."""
    path = "/azure/openai/deployments/whisper-1/audio/transcriptions?api-version=2024-10-21"
    asked = {"response_format": "verbose_json"}
    known = {"api-key": "any"}

    assert (await send(path, asked, RECORDING, headers=known)).status == 200
    refused = await send(path, asked | {"model": "gpt-4o-transcribe"}, RECORDING, headers=known)
    assert refused.json["error"]["param"] == "response_format"
