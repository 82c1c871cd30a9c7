"""Studies that come with the program, to run as they are or to start from."""

import difflib
from pathlib import Path

from backtest.tuning.study import Study, load_study
from risk.errors import InvalidInput

_FOLDER = Path(__file__).parent / "ready"


def find_study(name_or_path: str) -> Study:
    """Load a ready study by name, or a file by its path (one ending in ``.toml``); raise InvalidInput for none."""
    return load_study(Path(name_or_path) if name_or_path.endswith(".toml") else _path_of(name_or_path))


def new_study(path: Path, like: str) -> None:
    """Write a copy of a ready study to ``path``; raise InvalidInput if it exists or does not end in ``.toml``."""
    if path.suffix != ".toml":
        raise InvalidInput(f"the new study was {path}; its name must end in .toml")
    text = _path_of(like).read_text(encoding="utf-8")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InvalidInput(f"{path} exists; name a file that does not") from None
    except OSError as error:
        raise InvalidInput(f"{path} could not be written: {error.strerror}") from None


def _path_of(name: str) -> Path:
    names = sorted(path.stem for path in _FOLDER.glob("*.toml"))
    if name in names:
        return _FOLDER / f"{name}.toml"
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"ready are {', '.join(names)}; a file must end in .toml"
    raise InvalidInput(f"study was {name!r}: {hint}")
