"""How far the workers are, told over small files."""

from pathlib import Path

from vidbench.label.live import Board, Pulse, watched


class Count:
    def __init__(self) -> None:
        self.done = 0.0
        self.notes: list[str] = []

    def advance(self, amount: float = 1, note: str = "") -> None:
        self.done += amount
        self.notes.append(note)

    def skip(self, amount: float, note: str = "") -> None:
        raise AssertionError("nothing is skipped")


def test_pulses_move_the_task_and_the_end_counts_the_rest(tmp_path: Path) -> None:
    task = Count()
    board = Board(tmp_path, task)
    Pulse(tmp_path / "a.pulse").tell(8, 3)
    Pulse(tmp_path / "b.pulse").tell(16, 1)
    board.look()
    assert (task.done, task.notes[-1]) == (24, "4 boxes of persons")
    board.look()
    assert task.done == 24
    board.finish("a", 100, 40)
    assert (task.done, task.notes[-1]) == (116, "41 boxes of persons")
    # a pulse that lies there still says nothing new
    board.look()
    assert task.done == 116


def test_a_torn_or_foreign_file_is_no_reason_to_fail(tmp_path: Path) -> None:
    task = Count()
    (tmp_path / "a.pulse").write_text("12")
    (tmp_path / "b.pulse").write_text("x y")
    Board(tmp_path, task).look()
    assert task.done == 0


def test_old_pulses_are_swept_at_both_ends(tmp_path: Path) -> None:
    folder = tmp_path / "live"
    folder.mkdir()
    (folder / "old.pulse").write_text("99 9")
    task = Count()
    with watched(folder, task) as board:
        Pulse(folder / "new.pulse").tell(5, 0)
        board.look()
        assert task.done == 5
    assert list(folder.iterdir()) == []


def test_a_pulse_speaks_now_and_then_alone(tmp_path: Path) -> None:
    pulse = Pulse(tmp_path / "a.pulse")
    pulse.tell(1, 0)
    pulse.tell(2, 0)
    assert (tmp_path / "a.pulse").read_text() == "1 0"
