"""The log of steps grows line by line, and forgets what a resumed run does again."""

from vidbench.model.train.step_log import StepLog, read_steps


def test_lines_are_there_at_once_and_exact(tmp_path) -> None:
    with StepLog(tmp_path, 0, {}, tensorboard=False) as log:
        log.step(1, 1, 0.1 + 0.2, 1 / 3)
        assert read_steps(tmp_path / "steps.csv") == [{"step": 1, "epoch": 1, "lr": 0.1 + 0.2, "loss": 1 / 3}]


def test_a_resumed_run_goes_on_after_its_step(tmp_path) -> None:
    with StepLog(tmp_path, 0, {}, tensorboard=False) as log:
        for step in range(1, 6):
            log.step(step, 1, 0.1, float(step))
    with (tmp_path / "steps.csv").open("a") as stream:
        stream.write("6,1,0.1,6")  # torn by a kill
    assert [row["step"] for row in read_steps(tmp_path / "steps.csv")] == [1, 2, 3, 4, 5]
    with StepLog(tmp_path, 3, {}, tensorboard=False) as log:
        log.step(4, 1, 0.1, 40.0)
    assert [row["loss"] for row in read_steps(tmp_path / "steps.csv")] == [1.0, 2.0, 3.0, 40.0]


def test_no_log(tmp_path) -> None:
    assert read_steps(tmp_path / "steps.csv") == []
