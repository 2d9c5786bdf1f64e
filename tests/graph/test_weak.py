"""`Members`: sets of objects that keep nothing alive."""

import gc

from plait.graph.weak import Members


class Thing:
    pass


def test_members_are_listed_once_and_forgotten_when_they_die():
    members, owner, first, second = Members(), Thing(), Thing(), Thing()
    for member in (first, second, first):
        members.add(owner, member)
    assert set(members.of(owner)) == {first, second}
    assert len(members.of(owner)) == 2
    del second, member
    gc.collect()
    assert members.of(owner) == [first]
    assert members.of(first) == []


def test_a_dead_owner_takes_its_members_with_it():
    members, owner, member = Members(), Thing(), Thing()
    members.add(owner, member)
    del owner
    gc.collect()
    assert len(members._known) == 0
