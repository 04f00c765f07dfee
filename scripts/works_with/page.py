"""Writes docs/works-with.md: the table of agents, and how each is configured.

Decisions:
* What the page shows is what was run: configuration and commands are those of the table of agents.
"""

import shlex
from datetime import date

import msgspec

from .agents import TASK, Agent
from .verdict import Verdict

_HEAD = """\
# Works with

Coding agents that were run against llmsim as they are published, with the lines of configuration that each needs. This page is written by
`scripts/agents --markdown docs/works-with.md`, the last time on {today}.

Each agent runs as a user without rights, in a home and a folder that are thrown away, and in a network that has nothing but the simulator:

- **without a script** it is asked to {task} Its first tool call has to be executed with success, and the session has to end;
- **scripted** it plays five turns: a tool call, a call that fails, a 429 that it has to survive, a file that it has to write, and a last text.

| agent | package | version | API | without a script | scripted |
|---|---|---|---|---|---|
"""

_FOOT = """\
## Libraries

Chat, streams, tool calls that end and JSON by a schema with each; embeddings where it has them, moderation with LangChain and LiteLLM, pictures,
speech and transcriptions with LiteLLM and the AI SDK. All but pydantic-ai, which was tried by hand with chat and calls only, are run by
`./scripts/test -m tools tests/process/test_frameworks.py`. The official SDKs of OpenAI, Anthropic and Google are part of the other tests.

| library | version | base URL |
|---|---|---|
| `langchain-google-genai` | 4.4.3 | `base_url="http://127.0.0.1:8080/gemini"` |
| `langchain-openai`, `AzureChatOpenAI`, `AzureOpenAIEmbeddings` | 1.7.4 | `azure_endpoint="http://127.0.0.1:8080/azure"` |
| `langchain-openai`, `ChatOpenAI` | 1.7.4 | `base_url="http://127.0.0.1:8080/openai/v1"` |
| `langchain-classic`, `OpenAIModerationChain` | 1.0.8 | `OPENAI_BASE_URL=http://127.0.0.1:8080/openai/v1` |
| `litellm`, models `gemini/...` | 1.110.2 | `api_base="http://127.0.0.1:8080/gemini/v1beta"` |
| `litellm`, models `azure/...` | 1.110.2 | `api_base="http://127.0.0.1:8080/azure"` |
| `litellm`, models `openai/...` | 1.110.2 | `api_base="http://127.0.0.1:8080/openai/v1"` |
| `pydantic-ai-slim[google]` | 2.68.0 | `GoogleProvider(base_url="http://127.0.0.1:8080/gemini")` |
| `@ai-sdk/google`, `ai` | 3.0.141, 6.0.326 | `baseURL: 'http://127.0.0.1:8080/gemini/v1beta'` |
| `@ai-sdk/azure`, `ai` | 3.0.128, 6.0.326 | `baseURL: 'http://127.0.0.1:8080/azure/openai/v1'`; with `useDeploymentBasedUrls` without `/v1` |
| `@ai-sdk/openai`, `ai` | 3.0.141, 6.0.326 | `baseURL: 'http://127.0.0.1:8080/openai/v1'` |

OpenAI's embeddings in LangChain load a tokenizer from the network; `check_embedding_ctx_length=False` does without. Imagen (`:predict`) is not served.

## Run it

```sh
sudo scripts/agents                  # all of them; some minutes, and 2 GB of packages
sudo scripts/agents codex pi         # some of them
sudo scripts/agents --list           # their names
```

Packages are installed from the registries that npm and pip are configured for, into the folder of `--cache`; `--update` installs the
newest versions. Namespaces need Linux, `unshare` and `setpriv` of util-linux, and root.

To test an agent of your own, see [Testing](testing.md).
"""


class Row(msgspec.Struct, frozen=True):
    """One line of the table: an agent, its version, and how both runs went."""

    agent: Agent
    version: str
    generated: Verdict
    scripted: Verdict


def render_page(rows: list[Row], today: date) -> str:
    """Return the page."""
    lines = [_HEAD.format(today=today.isoformat(), task=TASK[0].lower() + TASK[1:])]
    for row in rows:
        agent = row.agent
        cells = (
            f"[{agent.title}](#{_anchor(agent.title)})",
            f"`{agent.package}` ({agent.registry})",
            row.version,
            agent.api,
            _mark(row.generated),
            _mark(row.scripted),
        )
        lines.append(f"| {' | '.join(cells)} |\n")
    lines += [f"\n{_section(row.agent)}" for row in rows]
    return "".join(lines) + "\n" + _FOOT


def _mark(verdict: Verdict) -> str:
    return f"{'yes' if verdict.passed else '**no**'}: {verdict.detail}"


def _anchor(title: str) -> str:
    return "".join(letter for letter in title.lower().replace(" ", "-") if letter.isalnum() or letter == "-")


def _section(agent: Agent) -> str:
    parts = [f"## {agent.title}\n"]
    if agent.note:
        parts.append(f"{agent.note}\n")
    for name, content in agent.files.items():
        where = name.removeprefix("work/") if name.startswith("work/") else f"~/{name}"
        parts.append(f"`{where}`:\n\n```{_language(name)}\n{content.rstrip()}\n```\n")
    variables = [f"export {name}={shlex.quote(value)}" for name, value in agent.environment.items()]
    commands = [
        shlex.join((agent.program, *(TASK if word == "TASK" else word for word in words)))
        for words in (agent.setup, agent.command)
        if words
    ]
    parts.append("```sh\n" + "\n".join((*variables, *commands)) + "\n```\n")
    return "\n".join(parts)


def _language(name: str) -> str:
    suffix = name.rpartition(".")[2]
    return {"py": "python"}.get(suffix, suffix)
