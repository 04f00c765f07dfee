"""The question of a message, without what harnesses add."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsim.domain.question import question_of

REMINDER = "<system-reminder>\nToday is a day for tasks.\n</system-reminder>"
CONTEXT = "<environment_context>\n  <cwd>/work</cwd>\n  <shell>bash</shell>\n</environment_context>"
DETAILS = "<environment_details>\n# Time\n<now>9:00</now>\n</environment_details>"


@pytest.mark.parametrize(
    ("texts", "question"),
    [
        (["Hi"], "Hi"),
        (["one", "two"], "two"),
        ([REMINDER, "Hi"], "Hi"),
        (["Hi", REMINDER], "Hi"),
        ([f"{REMINDER}\n\n{REMINDER}\n\nHi"], "Hi"),
        ([f"Hi\n\n{DETAILS}"], "Hi"),
        (["<environment_details>a</environment_details><repo_state>b</repo_state>Hi"], "Hi"),
        (["Hi <user_instructions>Be brief.</user_instructions>"], "Hi"),
        ([f"Before\n{REMINDER}\nafter"], "after"),
        ([f"Hi {REMINDER}"], "Hi"),
        ([CONTEXT], ""),
        ([REMINDER, ""], ""),
        ([f"<task>\nWrite it\n</task>\n\n# Progress\n\n{DETAILS}"], "Write it"),
        ([f"<user_query>\n{REMINDER}\nWrite it\n</user_query>"], "Write it"),
        (["<userRequest>Hi</userRequest>\n<reminderInstructions>\nx\n</reminderInstructions>"], "Hi"),
        (["<permissions instructions>\nAsk.\n</permissions instructions>\nHi"], "Hi"),
        (["<user_instructions>\nBe brief.\n</user_instructions>\n\nHi"], "Hi"),
        (["Hi\n<system-reminder>\ncut o"], "Hi"),
        ([f"<system-reminder>\nnested {REMINDER}\n</system-reminder>\nHi"], "Hi"),
        (["What is <b>bold</b> in <div>?</div>"], "What is <b>bold</b> in <div>?</div>"),
        (["Use <my-widget>x</my-widget> here"], "Use <my-widget>x</my-widget> here"),
        (["Is a < b and c > d?"], "Is a < b and c > d?"),
        (["</system-reminder> Hi"], "</system-reminder> Hi"),
        (['"Run `ls` here."'], "Run `ls` here."),
        ([r'"Write \"Hi\" to a.txt"'], 'Write "Hi" to a.txt'),
        (['"Hi" and "Ho"'], '"Hi" and "Ho"'),
        (['Say "Hi"'], 'Say "Hi"'),
        (['"'], ""),
        ([], ""),
    ],
)
def test_the_question(texts: list[str], question: str) -> None:
    """FIT-1.13: The last text outside of the blocks of harnesses, or what a tag for questions holds."""
    assert question_of(texts) == question


@given(
    st.lists(
        st.sampled_from(
            [
                "<task>",
                "</task>",
                "<system-reminder>",
                "</system-reminder>",
                "<x-y>",
                "</x-y>",
                "a",
                "\n",
                "<",
            ]
        )
    )
)
def test_any_nesting_is_read(pieces: list[str]) -> None:
    """FIT-1.13: Tags may be nested, crossed and left open."""
    text = "".join(pieces)

    assert question_of([text]) in text


def test_long_texts_are_read_in_linear_time() -> None:
    """FIT-1.13: Also if they are nothing but tags."""
    for piece in ("<task>", "<task></task>", "<system-reminder>", "<a-b>\n", "</x>", "<query><task>"):
        question_of([piece * 50_000])
    question_of(["<task><query>" * 20_000 + "x" + "</query></task>" * 20_000])
