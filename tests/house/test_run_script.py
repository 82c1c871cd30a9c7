"""``./run`` in a tree of its own, with a Python that only writes down what it was asked."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / "run"

# Stands in for Python and for the program it installs; `fail` in the tree makes installs fail.
FAKE_PYTHON = """#!/bin/sh
echo "$*" >>"$LOG"
case "$*" in
    -c*sys.version_info*) echo "$0" ;;
    "-m venv --clear "*)
        rm -rf "$4" && mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
    *"pip "*"--require-hashes"*)
        sleep "${SLOW:-0}"
        [ ! -e "$TREE/fail" ] || exit 1 ;;
    *"pip "*" -e "*)
        printf '#!/bin/sh\\necho "$PWD:$*"\\nexit 7\\n' >"${0%/*}/hybrid-perps" &&
            chmod +x "${0%/*}/hybrid-perps" ;;
esac
"""

FAKE_UV = """#!/bin/sh
case "$*" in
    --version) ;;
    "venv "*) exec "$PYTHON" -m venv --clear "${6}" ;;
    "pip sync"*) exec "$4" -m pip --require-hashes ;;
    "pip install"*) exec "$4" -m pip x -e x ;;
esac
"""


class Tree:
    """One copy of ``run`` with a lock file, and a log of what its Python was asked to do."""

    def __init__(self, root: Path) -> None:
        self.root = root / "a project"
        self.root.mkdir()
        self.log = root / "log"
        self.elsewhere = root / "elsewhere"
        self.elsewhere.mkdir()
        self.bin = root / "bin"
        self.bin.mkdir()
        shutil.copy(RUN, self.root / "run")
        (self.root / "requirements.lock").write_text("a==1\n")
        (self.root / "pyproject.toml").write_text("[project]\n")
        self.python = self.add("good-python", FAKE_PYTHON)
        for shadowed in ("uv", "python3", "python", "python3.13", "python3.14"):
            self.add(shadowed, "#!/bin/sh\nexit 1\n")

    def add(self, name: str, text: str) -> Path:
        """Put a program on the PATH of every start."""
        program = self.bin / name
        program.write_text(text)
        program.chmod(0o755)
        return program

    def start(self, *arguments: str, script: Path | None = None, **settings: str) -> subprocess.Popen[str]:
        environment = {
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "HOME": str(self.elsewhere),
            "PYTHON": str(self.python),
            "LOG": str(self.log),
            "TREE": str(self.root),
            **settings,
        }
        return subprocess.Popen(
            [script or self.root / "run", *arguments],
            cwd=self.elsewhere,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, script: Path | None = None, **settings: str) -> tuple[int, str, str]:
        started = self.start(*arguments, script=script, **settings)
        out, err = started.communicate(timeout=120)
        return started.returncode, out, err

    def count(self, wanted: str) -> int:
        return sum(wanted in line for line in self.log.read_text().splitlines())

    @property
    def installs(self) -> int:
        return self.count("--require-hashes")

    @property
    def venvs(self) -> int:
        return self.count("-m venv")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_the_first_start_sets_up_and_the_second_only_runs(tree):
    status, out, err = tree.run("scenario", "two words")
    assert (status, out) == (7, f"{tree.elsewhere}:scenario two words\n")
    assert "ready" in err
    assert tree.run("list") == (7, f"{tree.elsewhere}:list\n", "")
    assert (tree.venvs, tree.installs) == (1, 1)


def test_a_symbolic_link_finds_the_project(tree):
    link = tree.elsewhere / "link"
    link.symlink_to("hop")
    (tree.elsewhere / "hop").symlink_to(tree.root / "run")
    assert tree.run("x", script=link)[0] == 7
    assert (tree.root / ".venv/installed").exists()


@pytest.mark.parametrize("changed", ["requirements.lock", "pyproject.toml"])
def test_a_changed_pin_installs_again_into_the_same_environment(tree, changed):
    tree.run()
    (tree.root / changed).write_text("b==2\n")
    assert tree.run()[0] == 7
    assert (tree.venvs, tree.installs) == (1, 2)


def test_a_failed_set_up_says_so_and_the_next_start_repairs_it(tree):
    (tree.root / "fail").touch()
    status, out, err = tree.run("list")
    assert (status, out) == (1, "")
    assert "set-up failed" in err
    (tree.root / "fail").unlink()
    assert tree.run("list")[0] == 7
    assert tree.venvs == 2


def test_an_environment_without_its_stamp_is_built_anew(tree):
    tree.run()
    (tree.root / ".venv/installed").unlink()
    assert tree.run()[0] == 7
    assert (tree.venvs, tree.installs) == (2, 2)


@pytest.mark.parametrize("installed", [True, False])
@pytest.mark.parametrize("with_uv", [True, False])
def test_a_link_to_another_environment_is_replaced_and_its_target_left_alone(tree, installed, with_uv):
    tree.run()
    other = tree.root.rename(tree.root.parent / "another") / ".venv"
    if not installed:
        (other / "installed").unlink()
    held = files_of(other)
    tree.root = tree.elsewhere / "linked"
    shutil.copytree(other.parent, tree.root, ignore=lambda *_: [".venv"])
    (tree.root / ".venv").symlink_to(other)
    if with_uv:
        tree.add("uv", FAKE_UV)
    status, _, err = tree.run()
    assert status == 7
    assert f".venv was a link to {other}: making a folder in its place" in err
    assert files_of(other) == held
    assert (tree.root / ".venv/installed").is_file()
    assert not (tree.root / ".venv").is_symlink()
    assert tree.run()[2] == ""


def test_a_link_that_leads_nowhere_is_replaced(tree):
    (tree.root / ".venv").symlink_to(tree.elsewhere / "gone")
    assert tree.run()[0] == 7
    assert not (tree.root / ".venv").is_symlink()
    assert not (tree.elsewhere / "gone").exists()


def files_of(folder):
    """Return the bytes of every file below a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_moved_project_is_set_up_again(tree):
    tree.run()
    tree.root = tree.root.rename(tree.root.parent / "moved")
    assert tree.run()[0] == 7
    assert tree.venvs == 2


def test_two_starts_at_once_install_once(tree):
    starts = [tree.start("list", SLOW="1") for _ in range(2)]
    outputs = [start.communicate(timeout=120) for start in starts]
    assert [out for out, _ in outputs] == [f"{tree.elsewhere}:list\n"] * 2
    assert any("waiting for another start" in err for _, err in outputs)
    assert (tree.venvs, tree.installs) == (1, 1)
    assert not os.path.lexists(tree.root / ".venv.lock")


def test_a_start_that_is_killed_leaves_its_set_up_to_finish_alone(tree):
    first = tree.start(SLOW="1")
    while not (tree.log.exists() and tree.installs):
        time.sleep(0.01)
    first.kill()
    first.wait()
    status, _, err = tree.run()
    first.communicate()
    assert status == 7
    assert "waiting for another start" in err
    assert (tree.venvs, tree.installs) == (1, 1)


def test_the_lock_of_a_dead_process_is_taken_over(tree):
    dead = subprocess.Popen(["true"])
    dead.wait()
    (tree.root / ".venv.lock").symlink_to(f"pid-{dead.pid}")
    assert tree.run()[0] == 7


def test_the_first_fitting_python_is_taken(tree):
    tree.add("python3", FAKE_PYTHON)
    status, _, err = tree.run(PYTHON=str(tree.bin / "python"))
    assert status == 7
    assert f"with {tree.bin}/python3\n" in err


def test_uv_that_cannot_install_gives_way_to_pip(tree):
    tree.add("uv", '#!/bin/sh\ncase "$1" in --version | venv) ;; *) exit 1 ;; esac\n')
    status, _, err = tree.run()
    assert status == 7
    assert "uv could not: trying pip" in err
    assert (tree.venvs, tree.installs) == (1, 1)


def test_a_pyenv_version_outside_path_is_found(tree):
    hidden = tree.elsewhere / ".pyenv/versions/3.13.0/bin/python"
    hidden.parent.mkdir(parents=True)
    shutil.copy(tree.python, hidden)
    status, _, err = tree.run(PYTHON="")
    assert status == 7
    assert str(hidden) in err


def test_no_python_at_all_says_what_would_help(tree):
    status, out, err = tree.run(PYTHON="")
    assert (status, out) == (1, "")
    assert "PYTHON=/path/to/python" in err


@pytest.mark.parametrize(("broken", "status"), [(None, 0), ("mypy", 1), ("pytest", 4)])
def test_the_check_runs_every_tool_and_fails_if_one_does(tree, broken, status):
    tree.run()
    for tool in ("ruff", "mypy", "lint-imports", "pytest"):
        program = tree.root / ".venv/bin" / tool
        program.write_text(f'#!/bin/sh\necho "{tool} $*"\nexit {4 if tool == broken else 0}\n')
        program.chmod(0o755)
    code, out, err = tree.run("test", "-k", "one or two")
    assert code == status
    assert [line.split()[0] for line in out.splitlines()] == [
        "ruff",
        "ruff",
        "mypy",
        "lint-imports",
        "pytest",
    ]
    assert out.splitlines()[-1].endswith("-k one or two")
    assert ("[mypy]" in err) == (broken == "mypy")


def test_the_soak_runs_in_the_project_with_its_arguments(tree):
    tree.run()
    program = tree.root / ".venv/bin/python"
    program.write_text('#!/bin/sh\necho "$PWD:$*"\nexit 1\n')
    assert tree.run("soak", "--kills", "3") == (1, f"{tree.root}:-m tests.soak --kills 3\n", "")
