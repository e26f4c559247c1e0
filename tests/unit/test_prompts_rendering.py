"""Templates within bounds: what never ends is refused by name, and chats come out as transformers writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evoagent.errors import ConfigError, EngineError, RequestError
from evoagent.models.engines.scoring_text import prompt_ids, render_chat
from evoagent.models.requests import GenerateRequest
from evoagent.prompts import rendering
from evoagent.prompts.prompt_file import load_prompt_file
from evoagent.prompts.rendering import RenderError, render_prompt

HEAD = "---\nname: endless\nfamily: depth\nmethod: never ends\n---\n{{ instruction }}"
LOOPS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
DOUBLED = "{% set ns = namespace(x='x') %}{% for i in range(99) %}{% set ns.x = @ %}{% endfor %}{{ ns.x }}"
HOSTILE = [
    LOOPS,
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(99) }}",
    "{% macro m() %}" + LOOPS + "{{ caller() }}{% endmacro %}{% call m() %}x{% endcall %}",
    "{% block a %}{{ self.a() }}{{ self.a() }}{% endblock %}",
    "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "{% for a in range(99999) %}" + 90_000 * "x" + "{% endfor %}",
    "{% macro m() %}{% for a in range(99999) %}" + 90_000 * "x" + "{% endfor %}{% endmacro %}{{ m() }}",
    "{{ 'x' * 10**10 }}",
    "{{ [0] * 10**10 }}",
    "{{ 10**(10**8) }}",
    DOUBLED.replace("@", "ns.x ~ ns.x"),
    DOUBLED.replace("@", "ns.x + ns.x"),
    DOUBLED.replace("namespace(x='x')", "namespace(x=[1])").replace("@", "ns.x + ns.x"),
    DOUBLED.replace("namespace(x='x')", "namespace(x=7)").replace("@", "ns.x * ns.x"),
    DOUBLED.replace("{% set ns.x = @ %}", "{% set ns.x %}{{ ns.x }}{{ ns.x }}{% endset %}"),
    "{{ " + "(" * 9000 + "1" + ")" * 9000 + " }}",
    "{% for a in [1] %}" * 30 + "{% endfor %}" * 30,
    100_001 * "x",
]


@pytest.mark.timeout(30)
@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
def test_a_template_that_never_ends_is_refused_by_its_name(
    tmp_path: Path, body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "MAX_SECONDS", 0.3)
    path = tmp_path / "endless.md"
    path.write_text(HEAD + body, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"endless\.md: body: "):
        load_prompt_file(path)
    tokenizer = made_tokenizer(body)
    with pytest.raises(EngineError, match=r"the chat template of made/up: "):
        prompt_ids(tokenizer, GenerateRequest(messages=(("user", "x"),)))


@pytest.mark.timeout(30)
def test_one_that_ends_for_a_short_task_only_fails_the_long_one(tmp_path: Path) -> None:
    path = tmp_path / "long.md"
    path.write_text(HEAD + "{% if instruction|length > 99 %}" + LOOPS + "{% endif %}", encoding="utf-8")
    file = load_prompt_file(path)
    values = {"instruction": "x" * 100, "input": ""}
    with pytest.raises(RenderError, match=r"long\.md: found more than \d+ turns of loops"):
        render_prompt(file.body, values, str(path))


def test_long_texts_are_within_the_bounds() -> None:
    text = "word " * 40_000
    source = "{% for line in instruction.split(' ') %}{% if loop.first %}{{ line }}{% endif %}{% endfor %}{{ input }}"
    assert render_prompt(source, {"instruction": text, "input": text}, "here") == f"word{text}".strip()


CHATML = """{%- set ns = namespace(system='You help.', turns=[]) -%}
{%- if messages[0]['role'] == 'system' -%}
    {%- set ns.system = messages[0]['content'] | trim %}{% set messages = messages[1:] -%}
{%- endif -%}
<|im_start|>system
{{ ns.system }}<|im_end|>
{% for message in messages %}
{% if message.role == 'tool' %}{% continue %}{% endif %}
    {% set ns.turns = ns.turns + [message['role'] ~ ':' ~ loop.index] %}
{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}
{% if loop.index0 > 8 %}{% break %}{% endif %}
{% endfor %}
{# a comment #}
{% if add_generation_prompt %}
<|im_start|>assistant
{% endif %}{{ ns.turns | join(', ') }}
"""
LLAMA = """{{- bos_token }}
{%- set date = strftime_now("%Y") %}
{%- if tools is not none or documents %}{{ tools | tojson(indent=2) }}{% endif %}
{%- for message in messages %}
    {%- if message.role in ['system', 'user'] %}
    {{- '[INST] ' if loop.first else ' ' }}<<{{ message.content.strip().upper()[:12][::-1] | replace('A', '&') }}>>
    {%- else %}
  {% generation %}{{ message['content'] | trim ~ eos_token }}{% endgeneration %}

    {%- endif %}
{% endfor %}{{ messages | map(attribute='role') | unique | list }} {{ messages[-1] | tojson }} {{ date|length }}
"""
MISTRAL = """{%- macro shown(content, marks=('[', ']'), deep=none) -%}
    {%- if content is string %}{{ marks[0] }}{{ content }}{{ marks[1] }}
    {%- elif content is mapping %}{% for key, item in content|dictsort if key != 'role' %}
        {{- key }}={{ shown(item, deep=loop.depth) }}{{ ', ' if not loop.last }}
    {%- else %} nothing {% endfor %}{% endif -%}
{%- endmacro -%}
{%- macro framed() %}<{{ caller('x') }}>{% endmacro -%}
{%- set state = namespace(user=0) -%}
{{- bos_token }}{% for message in messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{- raise_exception('roles must alternate: ' + message.role) -}}
    {%- elif message.role == 'user' -%}
        {%- set state.user = state.user + 1 -%}
    {%- endif -%}
    {% call(mark) framed() %}{{ mark * 3 }}{{ shown(message) }}{% endcall %}
    {% set block %}{{ '%s/%02d' % (state.user, loop.index) }} {{ "{:>4}".format(loop.index) }}{% endset %}
    {% filter indent(2) %}{{ block }}
{{ missing }}{{ missing is defined }}{% endfilter %}
{%- endfor %}
{% raw %}{{ kept }}{% endraw %}   {{- eos_token if not add_generation_prompt }}
"""
CHATS: list[list[tuple[str, str]]] = [
    [("user", "Name a <tree> & why — “now”.")],
    [("user", " a\n\n  b "), ("assistant", " c \n"), ("user", "{{ 7 * 7 }}{% endfor %}")],
    [("system", " Be brief. "), ("user", "Hi"), ("assistant", ""), ("user", "树？")],
    [("user" if n % 2 == 0 else "assistant", str(n)) for n in range(13)],
    [("user", "a"), ("assistant", "b"), ("tool", "c"), ("user", "d")],
]


def made_tokenizer(template: Any) -> Any:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(WordLevel({"x": 0}, unk_token="x"))
    made = PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>", eos_token="</s>", chat_template=template)
    made.name_or_path = "made/up"
    return made


@pytest.mark.parametrize("reply", [True, False])
@pytest.mark.parametrize("chat", CHATS, ids=range(len(CHATS)))
@pytest.mark.parametrize("template", [CHATML, LLAMA, MISTRAL, {"default": CHATML, "tool_use": MISTRAL}])
def test_chats_come_out_as_transformers_writes_them(template: Any, chat: list[tuple[str, str]], reply: bool) -> None:
    tokenizer = made_tokenizer(template)
    turns = [{"role": role, "content": content} for role, content in chat]
    if template is MISTRAL and [role for role, _ in chat[::2]] != ["user"] * len(chat[::2]):
        with pytest.raises(RequestError, match=r"refuses turns of .*: roles must alternate: "):
            render_chat(tokenizer, chat, reply=reply)
        return
    expected = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=reply)
    assert render_chat(tokenizer, chat, reply=reply) == expected


def test_a_chat_template_that_is_not_valid_is_refused_by_its_model() -> None:
    with pytest.raises(EngineError, match="the chat template of made/up: not a valid template, line 2: "):
        render_chat(made_tokenizer("x\n{% for %}"), [("user", "x")])
