"""Images, speech and moderation over HTTP."""

import base64
import io
import json
import wave
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image
from support.asgi import Exchange, Simulator, simulator

CAT = {"model": "gpt-image-2.5-flare", "prompt": "A cat", "size": "64x64", "quality": "low"}
HELLO = {"model": "gpt-4o-mini-tts", "voice": "alloy", "input": "Hello, how are you today? I am fine."}


async def ask(path: str, body: dict[str, Any], worker: Simulator | None = None) -> Exchange:
    return await (worker or simulator()).post(f"/openai/v1/{path}", body)


def events(exchange: Exchange) -> list[Any]:
    return [json.loads(line[6:]) for line in exchange.body.splitlines() if line.startswith(b"data: {")]


def opened(encoded: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(encoded)))


def is_sandboxed(exchange: Exchange) -> bool:
    headers = exchange.headers
    return (
        headers["x-content-type-options"] == "nosniff"
        and headers["content-disposition"] == "attachment"
        and headers["content-security-policy"] == "sandbox"
    )


class TestModeration:
    """Words and categories."""

    @pytest.mark.parametrize(
        ("given", "results"),
        [
            ("Hi", 1),
            (["Hi", "there"], 2),
            ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], 1),
        ],
        ids=repr,
    )
    async def test_results(self, given: Any, results: int) -> None:
        """MEDIA-1.1: One for each input, with 13 categories."""
        answer = (await ask("moderations", {"input": given})).json

        assert answer["model"] == "omni-moderation-latest"
        assert len(answer["results"]) == results
        for result in answer["results"]:
            assert result["flagged"] is False
            for member in ("categories", "category_scores", "category_applied_input_types"):
                assert len(result[member]) == 13

    @pytest.mark.parametrize(
        ("text", "categories"),
        [
            ("I will KILL you", ["violence"]),
            ("You stupid idiot, I will hurt you", ["harassment", "harassment/threatening"]),
            ("It skills and kilograms", []),
            ("self-harm/intent", ["self-harm", "self-harm/intent"]),
        ],
        ids=repr,
    )
    async def test_words_are_flagged(self, text: str, categories: list[str]) -> None:
        """MEDIA-1.2: At the beginning of words, in any case; the same each time."""
        first, second = [(await ask("moderations", {"input": text})).json["results"][0] for _ in range(2)]
        flagged = {name for name, is_flagged in first["categories"].items() if is_flagged}

        assert sorted(flagged) == categories
        assert first == second
        assert all(
            (first["category_scores"][name] >= 0.5) == (name in flagged) for name in first["categories"]
        )

    @pytest.mark.parametrize(
        "given",
        [
            [],
            ["a", {"type": "text", "text": "b"}],
            5,
            [1],
            [{"type": "image_url", "image_url": {"url": "u"}}] * 2,
        ],
        ids=repr,
    )
    async def test_other_inputs_are_refused(self, given: Any) -> None:
        """MEDIA-1.3: In the words of the API."""
        assert (await ask("moderations", {"input": given})).status == 400


class TestImages:
    """Pictures that can be opened."""

    @pytest.mark.parametrize("image_format", ["png", "jpeg", "webp", "gif"])
    @pytest.mark.parametrize("size", ["1024x1536", "80x240"])
    async def test_pictures(self, image_format: str, size: str) -> None:
        """MEDIA-2.1: Of the size and format, each different."""
        answer = (
            await ask("images/generations", CAT | {"n": 2, "size": size, "output_format": image_format})
        ).json
        first, second = (opened(one["b64_json"]) for one in answer["data"])

        assert f"{first.width}x{first.height}" == answer["size"] == size
        assert first.format == image_format.upper()
        assert first.convert("RGB").tobytes() != second.convert("RGB").tobytes()

    async def test_the_background(self) -> None:
        """MEDIA-2.1: Is transparent if it is to be."""
        answer = (await ask("images/generations", CAT | {"background": "transparent"})).json

        assert answer["background"] == "transparent"
        assert opened(answer["data"][0]["b64_json"]).getpixel((60, 2))[3] == 0

    @pytest.mark.parametrize(
        ("fields", "tokens"),
        [
            ({"size": "1024x1024", "quality": "low"}, 272),
            ({"size": "1536x1024", "quality": "high"}, 6208),
            ({"size": "512x512", "quality": "medium"}, 264),
            ({"size": "1024x1024", "quality": "low", "n": 3}, 816),
            ({"size": "1024x1024", "quality": "low", "stream": True, "partial_images": 2}, 472),
        ],
        ids=repr,
    )
    async def test_usage(self, fields: dict[str, Any], tokens: int) -> None:
        """MEDIA-2.2: By quality and size; the counters have the same."""
        worker = simulator()
        asked = await ask("images/generations", CAT | fields, worker)
        usage = (events(asked)[-1] if "stream" in fields else asked.json)["usage"]

        assert (usage["input_tokens"], usage["output_tokens"]) == (2, tokens)
        assert usage["total_tokens"] == tokens + 2
        assert worker.stats().completion_tokens == tokens

    async def test_partial_pictures(self) -> None:
        """MEDIA-2.3: Each has more colours than the one before; each event is named."""
        asked = await ask(
            "images/generations", CAT | {"size": "256x256", "stream": True, "partial_images": 3}
        )
        found = events(asked)
        pictures = [opened(event["b64_json"]) for event in found]

        assert [event["type"] for event in found] == ["image_generation.partial_image"] * 3 + [
            "image_generation.completed"
        ]
        assert [event.get("partial_image_index") for event in found] == [0, 1, 2, None]
        assert {picture.size for picture in pictures} == {(256, 256)}
        assert len({picture.tobytes() for picture in pictures}) == 4
        assert asked.body.count(b"event: image_generation.") == 4

    async def test_partial_pictures_come_over_time(self) -> None:
        """MEDIA-2.3: When their part of the tokens exists."""
        body = CAT | {"stream": True, "partial_images": 1}
        await ask("images/generations", body)  # from now on it is in the cache
        worker = simulator(latency={"profile": "instant", "tbt_mean_ms": 20})
        exchange = await ask("images/generations", body, worker)

        assert len(exchange.parts) >= 2

    async def test_addresses(self) -> None:
        """MEDIA-2.4, MEDIA-5.1: A picture is drawn at its address, for anyone, and nowhere else."""
        keys = {"auth": {"keys": ("secret-key-1",)}}
        worker = simulator(**keys)
        body = json.dumps({"model": "dall-e-2", "prompt": "A cat", "size": "256x256"}).encode()
        headers = {"authorization": "Bearer secret-key-1", "host": "sim.example:81"}
        answer = await worker.ask("POST", "/openai/v1/images/generations", body, headers=headers)
        address = urlsplit(answer.json["data"][0]["url"])
        shown = await simulator(**keys).ask("GET", address.path)

        assert address.netloc == "sim.example:81"
        assert "usage" not in answer.json
        assert (shown.status, shown.headers["content-type"]) == (200, "image/png")
        assert is_sandboxed(shown)
        assert Image.open(io.BytesIO(shown.body)).size == (256, 256)
        for wrong in ("x.png", address.path.rpartition("/")[2].replace("png", "svg"), "A" * 4000 + ".png"):
            assert (await worker.ask("GET", f"/openai/v1/images/pictures/{wrong}")).status == 404

    async def test_base64_instead_of_an_address(self) -> None:
        """MEDIA-2.4: If it is requested."""
        body = {"model": "dall-e-3", "prompt": "A cat", "response_format": "b64_json"}
        (image,) = (await ask("images/generations", body)).json["data"]

        assert opened(image["b64_json"]).size == (1024, 1024)
        assert "A cat" in image["revised_prompt"]

    @pytest.mark.parametrize(
        ("fields", "param"),
        [
            ({"size": "100x100"}, "size"),
            ({"size": "64x256"}, "size"),
            ({"size": "3840x3840"}, "size"),
            ({"size": "99999x16"}, "size"),
            ({"quality": "hd"}, "quality"),
            ({"n": 11}, "n"),
            ({"style": "vivid"}, "style"),
            ({"response_format": "url"}, "response_format"),
            ({"background": "transparent", "output_format": "jpeg"}, "background"),
            ({"output_compression": 5}, "output_compression"),
            ({"partial_images": 1}, "partial_images"),
            ({"frame_count": 3}, "frame_count"),
            ({"output_format": "gif", "stream": True}, "stream"),
            ({"prompt": "x" * 32_001}, "prompt"),
            ({"model": "dall-e-3", "size": "1024x1024", "quality": "hd", "n": 2}, "n"),
            ({"model": "dall-e-3", "size": "256x256", "quality": "hd"}, "size"),
            ({"model": "dall-e-2", "size": "256x256", "quality": "standard", "stream": True}, "stream"),
            ({"model": "gpt-image-1", "size": "1024x1024", "quality": "xhigh"}, "quality"),
        ],
        ids=lambda value: str(value)[:40],
    )
    async def test_what_a_model_does_not_take(self, fields: dict[str, Any], param: str) -> None:
        """MEDIA-2.5: Is refused by its name."""
        refused = await ask("images/generations", CAT | fields)

        assert refused.status == 400
        assert refused.json["error"]["param"] == param

    async def test_a_picture_is_drawn_once(self) -> None:
        """MEDIA-2.6: The second request for it takes it from the cache."""
        from llmsim.media.pictures import draw

        await ask("images/generations", CAT | {"prompt": "drawn once"})
        before = draw.cache_info()
        await ask("images/generations", CAT | {"prompt": "drawn once"})

        assert draw.cache_info().misses == before.misses
        assert before.maxsize is not None


class TestSpeech:
    """Sound that can be measured."""

    @pytest.mark.parametrize("speed", [0.5, 1.0, 4.0])
    async def test_wav(self, speed: float) -> None:
        """MEDIA-3.1, MEDIA-3.2, MEDIA-5.1: As long as the text takes, and not silent."""
        asked = await ask("audio/speech", HELLO | {"response_format": "wav", "speed": speed})
        sound = wave.open(io.BytesIO(asked.body))  # noqa: SIM115 - it is in memory
        seconds = sound.getnframes() / sound.getframerate()

        assert (sound.getframerate(), sound.getsampwidth(), sound.getnchannels()) == (24_000, 2, 1)
        assert seconds == pytest.approx(len(HELLO["input"]) / 15 / speed, abs=0.06)
        assert len(asked.body) == 44 + sound.getnframes() * 2
        assert any(sound.readframes(1200))
        assert asked.headers["content-type"] == "audio/wav"
        assert is_sandboxed(asked)

    @pytest.mark.parametrize(
        ("sound_format", "frame", "seconds"),
        [("mp3", b"\xff\xf3\x84\xc4", 0.024), ("aac", b"\xff\xf1", 1024 / 24_000)],
    )
    async def test_frames(self, sound_format: str, frame: bytes, seconds: float) -> None:
        """MEDIA-3.1, MEDIA-3.2: As many frames as last as long."""
        asked = await ask("audio/speech", HELLO | {"response_format": sound_format})
        frames = asked.body.count(frame)

        assert asked.body.startswith(frame)
        assert frames * seconds == pytest.approx(len(HELLO["input"]) / 15, abs=0.1)
        assert len(asked.body) % frames == 0

    @pytest.mark.parametrize("sound_format", ["opus", "flac"])
    async def test_formats_that_need_an_encoder(self, sound_format: str) -> None:
        """MEDIA-3.2: Are refused, with the reason."""
        refused = await ask("audio/speech", HELLO | {"response_format": sound_format})

        assert (refused.status, refused.json["error"]["param"]) == (400, "response_format")
        assert "no encoder" in refused.json["error"]["message"]

    async def test_events(self) -> None:
        """MEDIA-3.3: The same sound in parts, then the usage."""
        whole = await ask("audio/speech", HELLO | {"response_format": "pcm"})
        asked = await ask("audio/speech", HELLO | {"response_format": "pcm", "stream_format": "sse"})
        *deltas, done = events(asked)

        assert b"".join(base64.b64decode(event["audio"]) for event in deltas) == whole.body
        assert {event["type"] for event in deltas} == {"speech.audio.delta"}
        assert done["type"] == "speech.audio.done"
        assert done["usage"]["output_tokens"] == len(deltas) == len(whole.body) / 2400
        assert asked.headers["content-type"].startswith("text/event-stream")

    async def test_sound_leaves_as_it_is_made(self) -> None:
        """MEDIA-3.3: In one write a token."""
        worker = simulator(latency={"profile": "instant", "tbt_mean_ms": 20})
        exchange = await ask("audio/speech", HELLO | {"response_format": "pcm"}, worker)

        assert len(exchange.parts) > 3

    @pytest.mark.parametrize(
        ("fields", "param"),
        [
            ({"input": "x" * 4097}, "input"),
            ({"input": ""}, "input"),
            ({"speed": 0.1}, "speed"),
            ({"model": "tts-1", "instructions": "Be glad"}, "instructions"),
            ({"model": "tts-1-hd", "stream_format": "sse"}, "stream_format"),
            ({"voice": 5}, "voice"),
        ],
        ids=lambda value: str(value)[:40],
    )
    async def test_what_is_refused(self, fields: dict[str, Any], param: str) -> None:
        """MEDIA-3.4: By its name."""
        refused = await ask("audio/speech", HELLO | fields)

        assert (refused.status, refused.json["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("path", "body"), [("moderations", {"input": "a"}), ("images/generations", CAT), ("audio/speech", HELLO)]
)
async def test_models_of_text(path: str, body: dict[str, Any]) -> None:
    """MEDIA-5.2: Are refused; unknown names are taken."""
    refused = await ask(path, body | {"model": "gpt-4o"})

    expected = (404, None) if path == "audio/speech" else (400, "model")
    assert (refused.status, refused.json["error"]["param"]) == expected
    assert (await ask(path, body | {"model": "acme-1"})).status == 200
