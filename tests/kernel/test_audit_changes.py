from services.kernel.audit.trail import changes


def test_a_change_names_pointer_old_and_new() -> None:
    before = {"a": 1, "b": {"c": [1, 2], "d": "x"}, "gone": True}
    after = {"a": 1, "b": {"c": [1, 3], "d": "x"}, "e/f": None, "g": 5}
    assert changes(before, after) == [
        {"pointer": "/b/c", "old": [1, 2], "new": [1, 3]},
        {"pointer": "/gone", "old": True, "new": None},
        {"pointer": "/g", "old": None, "new": 5},
    ]
