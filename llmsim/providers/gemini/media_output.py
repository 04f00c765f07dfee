"""Pictures and speech as responses: what a model makes, what a request asks for, and the parts that hold it.

Decisions:
* A response is a picture, or sound, and no text besides: the API leaves it to the model whether a picture comes with one.
* A picture costs the tokens that the catalogue has for its size. A second of sound costs 25 tokens, and lasts five minutes at most.
* A stream sends a second of sound at a time, and a picture when it is complete.

Source: google-genai SDK 3.6, types.ImageConfig, SpeechConfig; ai.google.dev/gemini-api/docs/image-generation and speech-generation;
messages of the API in danielmiessler/Fabric#1607 and BerriAI/litellm#11118 (modalities), google-gemini/cookbook#793 (voices).
"""

import base64
from collections.abc import Iterator
from typing import Any

import msgspec

from llmsim.catalogue import shipped_catalogue
from llmsim.domain import MediaRequest, Message, Prompt
from llmsim.errors import ApiRuleError
from llmsim.media.pictures import Picture, draw, shown_text
from llmsim.media.sounds import RATE, render_pcm, spoken_parts
from llmsim.providers.gemini.messages import GenerationConfig, ImageConfig, SpeechConfig
from llmsim.providers.gemini.schemas import RuleError

_RATIOS = {
    "1:1": (1024, 1024),
    "2:3": (832, 1248),
    "3:2": (1248, 832),
    "3:4": (864, 1184),
    "4:3": (1184, 864),
    "4:5": (896, 1152),
    "5:4": (1152, 896),
    "9:16": (768, 1344),
    "16:9": (1344, 768),
    "21:9": (1536, 672),
}
"""Width and height of a picture of size 1K."""

_SCALES = {"512": 0.5, "1K": 1, "2K": 2, "4K": 4}

_VOICES = tuple(
    """
    achernar achird algenib algieba alnilam aoede autonoe callirrhoe charon despina enceladus erinome fenrir gacrux iapetus kore
    laomedeia leda orus puck pulcherrima rasalgethi sadachbia sadaltager schedar sulafat umbriel vindemiatrix zephyr zubenelgenubi
    """.split()
)

_TOKENS_PER_SECOND = 25
_SAMPLES = RATE // _TOKENS_PER_SECOND
_MOST_SOUND = 300 * _TOKENS_PER_SECOND

_TOKENS = 1_290
"""Tokens of a picture whose model is not known."""

_PICTURE_TOKENS = 258
"""Tokens of a picture in the prompt. Source: ai.google.dev/gemini-api/docs/tokens."""

_SOUND_TYPE = f"audio/L16;codec=pcm;rate={RATE}"

_ACCEPTED: dict[str, tuple[frozenset[str], ...]] = {
    "": (frozenset({"TEXT"}),),
    "images": (frozenset({"IMAGE"}), frozenset({"IMAGE", "TEXT"}), frozenset({"TEXT"})),
    "speech": (frozenset({"AUDIO"}),),
}
"""Combinations of modalities by what serves a model, as the catalogue has it."""


def _service(model: str) -> str:
    """Return what a model makes instead of texts; empty for none."""
    catalogue = shipped_catalogue()
    services = catalogue.rules(catalogue.facts(model)).services
    return services[0] if services and services[0] in _ACCEPTED else ""


def _modalities(config: GenerationConfig, model: str, *, checks_models: bool) -> frozenset[str]:
    """Return the modalities of a response.

    Raises:
        ApiRuleError: The model does not make them.
    """
    service = _service(model)
    asked = frozenset(config.response_modalities) - {"MODALITY_UNSPECIFIED"}
    if not asked:
        asked = frozenset({"IMAGE", "TEXT"}) if service == "images" else frozenset({"TEXT"})
    accepted = _ACCEPTED[service]
    is_known = shipped_catalogue().find(model) is not None
    if asked not in accepted and (checks_models or is_known or len(asked - {"TEXT"}) > 1):
        listed = "".join(f"* {', '.join(sorted(one))}\n" for one in accepted)
        raise ApiRuleError(
            f"The requested combination of response modalities ({', '.join(sorted(asked))}) is not supported by the model. "
            f"models/{model} accepts the following combination of response modalities:\n{listed}"
        )
    return asked


def default_config(model: str) -> GenerationConfig:
    """Return what a request to a model has to say at least."""
    return GenerationConfig(response_modalities=["AUDIO"] if _service(model) == "speech" else [])


def with_media(prompt: Prompt, config: GenerationConfig, *, checks_models: bool) -> Prompt:
    """Return a prompt that asks for the picture or the speech of its request, if it asks for one.

    Raises:
        ApiRuleError: The model does not make it, or its configuration is wrong.
    """
    is_plain = not config.response_modalities and config.speech_config is None and config.image_config is None
    if is_plain and not _service(prompt.model):
        return prompt
    asked = _modalities(config, prompt.model, checks_models=checks_models)
    if config.speech_config is not None:
        if "AUDIO" not in asked:
            raise ApiRuleError("Cannot extract voices from a non-audio request.")
        _check_voices(config.speech_config)
    if "AUDIO" in asked:
        text = " ".join(text for one in prompt.messages if one.role == "user" for text in one.texts)
        tokens = min(-(-spoken_parts(text) * _TOKENS_PER_SECOND // 20), _MOST_SOUND)
        return msgspec.structs.replace(prompt, silent=True, media=MediaRequest("speech", tokens))
    if "IMAGE" not in asked:
        if config.image_config is not None:
            raise RuleError(
                ("generation_config.image_config", "image_config needs the response modality IMAGE.")
            )
        return prompt
    _, size = _picture_size(config.image_config or ImageConfig(), prompt.model)
    tokens = shipped_catalogue().media_rules(prompt.model).qualities.get(size, _TOKENS)
    messages = tuple(_counted(prompt, index, one) for index, one in enumerate(prompt.messages))
    return msgspec.structs.replace(
        prompt, messages=messages, silent=True, media=MediaRequest("image", tokens)
    )


def _counted(prompt: Prompt, index: int, message: Message) -> Message:
    """Return a message with the tokens of its pictures."""
    pictures = sum(one.message == index and one.image is not None for one in prompt.attachments)
    if not pictures:
        return message
    tokens = message.extra_tokens + pictures * _PICTURE_TOKENS
    return msgspec.structs.replace(message, extra_tokens=tokens)


def _picture_size(config: ImageConfig, model: str) -> tuple[tuple[int, int], str]:
    """Return width and height of a picture, and the name of its size.

    Raises:
        RuleError: The API does not know the ratio, or the model does not make the size.
    """
    path = "generation_config.image_config"
    ratio = config.aspect_ratio or "1:1"
    if ratio not in _RATIOS:
        known = ", ".join(f"'{one}'" for one in _RATIOS)
        raise RuleError((f"{path}.aspect_ratio", f"aspect_ratio must be one of {known}."))
    qualities = shipped_catalogue().media_rules(model).qualities
    sizes = [one for one in _SCALES if one in qualities] or ["1K"]
    size = config.image_size or ("1K" if "1K" in sizes else sizes[0])
    if size not in sizes:
        known = ", ".join(f"'{one}'" for one in sizes)
        raise RuleError((f"{path}.image_size", f"image_size must be one of {known}."))
    width, height = _RATIOS[ratio]
    return (int(width * _SCALES[size]), int(height * _SCALES[size])), size


def picture_of(prompt: Prompt, config: GenerationConfig | None) -> Picture | None:
    """Return the picture that a prompt asks for; None for none."""
    if prompt.media is None or prompt.media.kind != "image":
        return None
    (width, height), _ = _picture_size((config and config.image_config) or ImageConfig(), prompt.model)
    texts = [one.texts for one in prompt.messages if one.role == "user" and one.texts]
    return Picture(shown_text(" ".join(texts[-1]) if texts else ""), width, height)


def _check_voices(config: SpeechConfig) -> None:
    """Check the voices of speech.

    Raises:
        ApiRuleError: There is no such voice, or not as many as the API takes.
    """
    voices = [config.voice_config]
    if config.multi_speaker_voice_config is not None:
        if config.voice_config is not None:
            raise ApiRuleError("voice_config and multi_speaker_voice_config cannot be set both.")
        speakers = config.multi_speaker_voice_config.speaker_voice_configs
        if len(speakers) != 2:
            raise ApiRuleError("multi_speaker_voice_config must have exactly 2 speaker_voice_configs.")
        voices = [one.voice_config for one in speakers]
    for voice in voices:
        name = voice.prebuilt_voice_config.voice_name if voice and voice.prebuilt_voice_config else ""
        if name and name.lower() not in _VOICES:
            raise ApiRuleError(
                f"Voice name {name[:100]} is not supported. Allowed voice names are: {', '.join(_VOICES)}"
            )


def media_parts(
    tokens: int, picture: Picture | None, number: int, *, is_whole: bool
) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield the parts that hold a picture or sound, each with the tokens after which it exists.

    Args:
        tokens: What it costs.
        picture: The picture; None for sound.
        number: Distinguishes candidates of one request.
        is_whole: Whether sound is one part.
    """
    if picture is not None:
        data = draw(msgspec.structs.replace(picture, number=number))
        yield _inline("image/png", data), tokens
        return
    step = tokens if is_whole else _TOKENS_PER_SECOND
    for start in range(0, tokens, step):
        end = min(tokens, start + step)
        yield _inline(_SOUND_TYPE, render_pcm(start * _SAMPLES, end * _SAMPLES)), end


def _inline(mime_type: str, data: bytes) -> dict[str, Any]:
    return {"inlineData": {"mimeType": mime_type, "data": base64.b64encode(data).decode()}}
