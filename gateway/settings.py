"""Every setting of the server: one class, one help text each.

A setting NAME is read from PADDOCK_NAME, else from OLLAMA_NAME where Ollama has it. White space
and quotes around a value do not count. A value that cannot be read stops the start.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from gateway.errors import Invalid
from gateway.golang.duration import parse_setting_duration
from gateway.golang.strconv import parse_bool

# Variables that Ollama reads and that have no meaning here; named in the log when they are set.
IGNORED = (
    "OLLAMA_VULKAN",
    "OLLAMA_IGPU_ENABLE",
    "OLLAMA_LLM_LIBRARY",
    "OLLAMA_GO_TEMPLATE",
    "OLLAMA_REMOTES",
    "OLLAMA_MAX_TRANSFER_STREAMS",
    "OLLAMA_AUTH",
    "OLLAMA_EXPERIMENT",
    "OLLAMA_DEBUG_LOG_REQUESTS",
    "OLLAMA_CLOUD_BASE_URL",
)


class BadSetting(Exception):
    """A value that cannot be read; the text names the variable."""


def _boolean(value: object) -> object:
    if isinstance(value, str):
        try:
            return parse_bool(value.lower())
        except ValueError:
            raise ValueError(f"{value!r} is neither true nor false") from None
    return value


def _seconds(value: object) -> object:
    if isinstance(value, str):
        try:
            seconds = parse_setting_duration(value)
        except Invalid as exc:
            raise ValueError(exc.message) from exc
        # With Ollama a negative time is for ever.
        return math.inf if seconds < 0 else seconds
    return value


def _verbosity(value: Any) -> Any:
    """Ollama's OLLAMA_DEBUG is a boolean or a number, 2 being the noisiest."""
    try:
        return int(_boolean(value) is True) if isinstance(value, str) else value
    except ValueError:
        return value


def _flash(value: object) -> object:
    if isinstance(value, str) and value.lower() not in ("auto", "on", "off"):
        return "on" if _boolean(value) else "off"
    return value.lower() if isinstance(value, str) else value


def _listing(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


Boolean = Annotated[bool, BeforeValidator(_boolean)]
Seconds = Annotated[float, BeforeValidator(_seconds)]
Listing = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listing)]


def _setting(name: str, default: Any, help_text: str, *, ollama: bool = True, **bounds: Any) -> Any:
    names = [f"PADDOCK_{name}"] + ([f"OLLAMA_{name}"] if ollama else [])
    return Field(
        default=default,
        description=help_text,
        validation_alias=AliasChoices(*names),
        **bounds,
    )


class Settings(BaseSettings):
    """What the environment says."""

    model_config = SettingsConfigDict(
        extra="ignore", env_ignore_empty=True, case_sensitive=True, frozen=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # Only what `load` passes: it names the environment that counts, so that tests can too.
        return (init_settings,)

    host: str = _setting(
        "HOST", "127.0.0.1:11434", "address to listen on; beyond loopback the Host check is off"
    )
    origins: Listing = _setting(
        "ORIGINS", (), "more browser origins that may call, separated by commas; * for all"
    )
    models: Path = _setting(
        "MODELS", Path("~/.ollama/models"), "folder of the model library, in Ollama's layout"
    )
    keep_alive: Seconds = _setting(
        "KEEP_ALIVE", 300.0, "how long an idle model stays: 5m, 90 (seconds), -1 for ever, 0"
    )
    load_timeout: Seconds = _setting(
        "LOAD_TIMEOUT", 300.0, "how long a load may go without progress; 0 or less: for ever"
    )
    num_parallel: int = _setting(
        "NUM_PARALLEL",
        0,
        "slots of a model: requests that are batched together; 0: four, fewer for long contexts",
        ge=0,
        le=256,
    )
    max_loaded_models: int = _setting(
        "MAX_LOADED_MODELS", 0, "most models loaded at once; 0: three for each GPU, or three", ge=0
    )
    max_queue: int = _setting(
        "MAX_QUEUE", 512, "most requests waiting for a model; beyond it the answer is 503", ge=1
    )
    context_length: int = _setting(
        "CONTEXT_LENGTH", 0, "default context in tokens; 0: 4096, more with 23 GiB of GPU", ge=0
    )
    gpu_overhead: int = _setting("GPU_OVERHEAD", 0, "bytes of each GPU left to others", ge=0)
    sched_spread: Boolean = _setting(
        "SCHED_SPREAD", False, "spread a model over all GPUs even if one would do"
    )
    flash_attention: Annotated[str, BeforeValidator(_flash)] = _setting(
        "FLASH_ATTENTION", "auto", "flash attention: auto, on or off"
    )
    kv_cache_type: str = _setting(
        "KV_CACHE_TYPE",
        "",
        "type of the key and value caches: f16, q8_0, q4_0 and so on; empty: f16",
        pattern="^(|f32|f16|bf16|q8_0|q5_1|q5_0|q4_1|q4_0|iq4_nl)$",
    )
    noprune: Boolean = _setting("NOPRUNE", False, "keep blobs that no model uses")
    no_cloud: Boolean = _setting("NO_CLOUD", False, "say in /api/status that there is no cloud")
    debug: Annotated[int, BeforeValidator(_verbosity)] = _setting(
        "DEBUG", 0, "1 logs more, 2 logs most"
    )
    log_json: Boolean = _setting("LOG_JSON", False, "log JSON lines", ollama=False)
    engine: str = _setting(
        "ENGINE", "", "path of a llama-server; empty: the one that was built", ollama=False
    )
    prompt_cache: int = _setting(
        "PROMPT_CACHE", 256, "MiB of memory for each model's older prompts", ollama=False, ge=0
    )
    store_responses: Boolean = _setting(
        "STORE_RESPONSES", True, "keep the replies of /v1/responses to go on from", ollama=False
    )
    responses_file: str = _setting(
        "RESPONSES_FILE", "", "where; empty: `responses.db` in the cache folder", ollama=False
    )
    responses_lifetime: Seconds = _setting(
        "RESPONSES_LIFETIME", 604800.0, "how long they stay after their last use", ollama=False
    )
    responses_room: int = _setting(
        "RESPONSES_ROOM",
        256,
        "MiB of them; beyond it those go that were not used for longest",
        ollama=False,
        ge=1,
    )
    drain: Seconds = _setting(
        "DRAIN", 5.0, "how long a stopping server lets running requests finish", ollama=False
    )


class _Environment(EnvSettingsSource):
    """The library's source of variables, over a mapping instead of the process's environment."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        super().__init__(Settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        # As Ollama does: shells and unit files leave quotes and blanks on values.
        values = {name: value.strip().strip("'\"") for name, value in self._environ.items()}
        return {name: value for name, value in values.items() if value}


def load(environ: Mapping[str, str]) -> Settings:
    """The settings in `environ`; BadSetting in one line if a value cannot be read."""
    source = _Environment(environ)
    try:
        return Settings.model_validate(source())
    except ValidationError as exc:
        first = exc.errors()[0]
        # The library reports the first of a field's names, whichever of them was set.
        name = str(first["loc"][0])
        if name not in source.env_vars:
            name = name.replace("PADDOCK_", "OLLAMA_", 1)
        reason = first["msg"].removeprefix("Value error, ").lower()
        # A value may hold line breaks, and the message is to be one line.
        raise BadSetting(" ".join(f"{name}={first['input']}: {reason}".split())) from exc


def ignored(environ: Mapping[str, str]) -> list[str]:
    """Variables of Ollama's that are set and mean nothing here."""
    return [name for name in IGNORED if environ.get(name)]
