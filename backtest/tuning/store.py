"""Where studies are kept: a database of Optuna's making, SQLite or PostgreSQL."""

from collections.abc import Mapping
from itertools import count
from typing import Any, Self

from optuna.study import StudyDirection

from backtest.tuning.database import DEFAULT_URL, Database
from backtest.tuning.definition import first_change, pack
from backtest.tuning.stored_study import STUDY, StoredStudy, StoredTrial
from backtest.tuning.study import Study
from risk.errors import InvalidInput

__all__ = ["DEFAULT_URL", "Store", "StoredStudy", "StoredTrial", "open_store"]


class Store:
    """Hold the studies of one database; close it, or use it in a ``with``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def studies(self) -> list[StoredStudy]:
        """Return every study by name."""
        found = sorted(self._attributes().items())
        return [StoredStudy(self._database, name, kept) for name, kept in found if STUDY in kept]

    def open(self, name: str) -> StoredStudy:
        """Return the study of that name; raise InvalidInput if there is none."""
        found = {each.name: each for each in self.studies()}
        if name not in found:
            hint = f"there are {', '.join(found)}" if found else "there is none yet"
            raise InvalidInput(f"no study {name!r} in {self._database.shown}: {hint}")
        return found[name]

    def create(self, study: Study, provenance: Mapping[str, Any]) -> StoredStudy:
        """Return a new study, or the one of that name if it is defined equally, then with as many trials as now.

        Raises InvalidInput where that one is defined otherwise, data or versions have changed since, or another
        process works on it.
        """
        attributes = self._attributes()
        definition = pack(study)
        kept = attributes.get(study.name, {})
        if STUDY not in kept:
            return self._created(study, definition | {"provenance": dict(provenance)})
        if changed := first_change(kept[STUDY], definition):
            free = next(name for n in count(2) if (name := f"{study.name}-{n}") not in attributes)
            raise InvalidInput(
                f"study {study.name!r} is there already, defined otherwise ({changed}); "
                f"give this one another name, such as {free}"
            )
        found = StoredStudy(self._database, study.name, kept)
        with found.held():
            found.confirm(provenance)
            found.redefine(definition)
        return found

    def _created(self, study: Study, kept: Mapping[str, Any]) -> StoredStudy:
        storage = self._database.storage
        directions = [StudyDirection[direction.upper()] for direction in study.objectives.values()]
        with self._database.locked(study.name), self._database.reached():
            if study.name in self._attributes():
                self._remove_beginning(study.name)
            new = storage.create_new_study(directions, study.name)
            storage.set_study_user_attr(new, STUDY, dict(kept))
        return StoredStudy(self._database, study.name, {STUDY: dict(kept)})

    def _remove_beginning(self, name: str) -> None:
        """Remove what a kill left of a study that was being created; raise InvalidInput if it is somebody's."""
        storage = self._database.storage
        there = storage.get_study_id_from_name(name)
        if storage.get_n_trials(there) or storage.get_study_user_attrs(there):
            raise InvalidInput(
                f"study {name!r} in {self._database.shown} was not made by tune; take another name"
            )
        storage.delete_study(there)

    def _attributes(self) -> dict[str, dict[str, Any]]:
        with self._database.reached():
            return {each.study_name: each.user_attrs for each in self._database.storage.get_all_studies()}


def open_store(url: str, *, must_exist: bool = False) -> Store:
    """Open the store at ``url``, made if need be unless it ``must_exist``.

    Raises InvalidInput for a wrong URL, a database that cannot be reached, and a file that is no database.
    """
    return Store(Database(url, must_exist=must_exist))
