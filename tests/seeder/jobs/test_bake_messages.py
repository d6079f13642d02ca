"""Messages of a bake queue survive encoding; nothing else is taken for one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seeder.jobs.bake_messages import KINDS, BakeMessage
from seeder.jobs.messages import Message
from tests.support.job_strategies import key_parts, messages
from tiler.errors import MessageError
from tiler.layers.pyramid import Place

NUMBERS = st.integers(0, 2**30)
PLACES = st.builds(Place, NUMBERS, NUMBERS, NUMBERS)
PARTS = st.builds(BakeMessage, st.just("part"), key_parts, PLACES)
STEPS = st.builds(BakeMessage, st.sampled_from([kind for kind in KINDS if kind != "part"]), key_parts)
PART = BakeMessage("part", "may-9f2c81aa-20260301T120000.000000", Place(1, 4, 5))
JUNK = ("", "{", "null", "5", '"text"', "[]", "[1]", "{}", '{"v":1}', "\ud800", "1" * 5000)


@given(PARTS | STEPS)
def test_a_message_survives_the_queue(message: BakeMessage) -> None:
    assert BakeMessage.decode(message.encode()) == message


def test_messages_are_written_to_the_letter() -> None:
    job = "may-9f2c81aa-20260301T120000.000000"
    assert PART.encode() == f'{{"v":1,"kind":"part","job":"{job}","tier":1,"column":4,"row":5}}'
    assert BakeMessage("publish", job).encode() == f'{{"v":1,"kind":"publish","job":"{job}"}}'
    assert [PART.name, BakeMessage("renew", job).name] == ["1/4/5", "renew"]


@pytest.mark.parametrize("text", JUNK)
def test_junk_is_refused(text: str) -> None:
    with pytest.raises(MessageError):
        BakeMessage.decode(text)


@given(messages())
def test_a_message_of_the_other_queue_is_refused(message: Message) -> None:
    with pytest.raises(MessageError):
        BakeMessage.decode(message.encode())
    with pytest.raises(MessageError):
        Message.decode(PART.encode())


WRONG = {
    "v": (0, 2, "1", None),
    "kind": ("", "finish", None, ["part"], {}),
    "job": ("", "../x", "a/b", ".", 7, None, [], "x" * 600),
    **dict.fromkeys(("tier", "column", "row"), (-1, 1.5, "1", True, None, [], float("inf"))),
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in WRONG.items() for value in values])
def test_a_wrong_field_is_refused(field: str, value: object) -> None:
    with pytest.raises(MessageError):
        BakeMessage.decode(json.dumps({**json.loads(PART.encode()), field: value}))


@pytest.mark.parametrize("field", sorted(json.loads(PART.encode())))
def test_a_missing_field_is_refused(field: str) -> None:
    fields = json.loads(PART.encode())
    del fields[field]
    with pytest.raises(MessageError):
        BakeMessage.decode(json.dumps(fields))
