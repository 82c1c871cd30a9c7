"""One study in the store: definition, provenance, every trial's settings and outcome, and the runs after them.

It is complete in itself: whoever reaches the database can go on with the study anywhere. A trial appears in one
transaction with its settings; its outcome follows in one of its own, before Optuna's state of the trial, which
is for Optuna's tools and never read here.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from optuna.trial import FrozenTrial, TrialState, create_trial

from backtest.tuning.database import Database
from backtest.tuning.definition import unpack
from backtest.tuning.provenance import difference
from backtest.tuning.space import Parameter, Space, settings_from_json, settings_to_json
from backtest.tuning.study import Study
from backtest.tuning.trial import Failed, Outcome, Stopped, outcome_from_json, outcome_to_json
from backtest.tuning.verdict import judge
from risk.errors import InvalidInput

STUDY = "study"  # one attribute, so that a study is there whole or not at all
_SPACE = "space"
_RUN = "run:"
_SETTINGS, _JOB, _OUTCOME = "settings", "job", "outcome"


@dataclass(frozen=True, slots=True)
class StoredTrial:
    """Hold one trial: its exact ``values``, and its outcome once it has one.

    ``drawn`` are the sampler's own numbers behind the values; ``key`` is the job's, empty where the settings
    made none.
    """

    number: int
    values: Mapping[str, Any]
    outcome: Outcome | None
    drawn: Mapping[str, float]
    key: str


class StoredStudy:
    """Hold one study in the store. Every method raises InvalidInput when the database does not answer."""

    def __init__(self, database: Database, name: str, attributes: Mapping[str, Any]) -> None:
        self.name = name
        self._database, self._storage = database, database.storage
        self._attributes = dict(attributes)
        self._held = False

    @cached_property
    def study(self) -> Study:
        """Return the definition, on the scenario as it was when the study was created."""
        return unpack(self._attributes[STUDY])

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Return versions and hashes of the inputs that the outcomes were made with."""
        found: Mapping[str, Any] = self._attributes[STUDY]["provenance"]
        return found

    @cached_property
    def _id(self) -> int:
        with self._database.reached():
            return self._storage.get_study_id_from_name(self.name)

    @property
    def space(self) -> Space | None:
        """Return the space that is searched, None before the search began."""
        text = self._attributes.get(_SPACE)
        if text is None:
            return None
        return {path: Parameter.model_validate(row) for path, row in settings_from_json(text).items()}

    def fix_space(self, space: Space) -> None:
        """Keep ``space`` as the one that is searched; raise InvalidInput if that was another."""
        text = settings_to_json({path: parameter.model_dump() for path, parameter in space.items()})
        kept = self._attributes.get(_SPACE)
        if kept is None:
            self._set(_SPACE, text)
        elif kept != text:
            raise InvalidInput(f"study {self.name!r} was begun on other ranges; go on with those it keeps")

    def confirm(self, provenance: Mapping[str, Any]) -> None:
        """Raise InvalidInput if data or versions are not those of the outcomes that are there already."""
        changed = difference(self.provenance, provenance)
        if not changed:
            return
        runs = any(key.startswith(_RUN) for key in self._attributes)
        if runs or any(trial.outcome is not None for trial in self.trials()):
            raise InvalidInput(
                f"study {self.name!r} cannot go on: {changed}, so that results would not compare; "
                "give the study another name to begin anew"
            )
        self._set(STUDY, self._attributes[STUDY] | {"provenance": dict(provenance)})

    def redefine(self, definition: Mapping[str, str]) -> None:
        """Replace the definition by another that the trials so far belong to as well."""
        changed = self._attributes[STUDY] | definition
        if changed != self._attributes[STUDY]:
            self._set(STUDY, changed)
            self.__dict__.pop("study", None)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Work on the study alone: another process that wants to is refused. May be entered within itself."""
        if self._held:
            yield
            return
        with self._database.locked(self.name):
            self._held = True
            try:
                yield
            finally:
                self._held = False

    def trials(self) -> list[StoredTrial]:
        """Return every trial by number, those without an outcome included."""
        with self._database.reached():
            found = self._storage.get_all_trials(self._id, deepcopy=False)
        return [_stored(trial) for trial in sorted(found, key=lambda trial: trial.number)]

    def add_trial(
        self, values: Mapping[str, Any], drawn: Mapping[str, float], space: Space, key: str
    ) -> None:
        """Keep the next trial, which has no outcome yet; ``key`` is its job's, empty if there is none."""
        template = create_trial(
            state=TrialState.RUNNING,
            params=dict(drawn),
            distributions={path: space[path].distribution() for path in drawn},
            user_attrs={_SETTINGS: settings_to_json(values), _JOB: key},
        )
        with self._database.reached():
            self._storage.create_new_trial(self._id, template)

    def keep_outcome(self, number: int, outcome: Outcome) -> None:
        """Keep the outcome of trial ``number`` durably."""
        with self._database.reached():
            trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._id, number)
            self._storage.set_trial_user_attr(trial_id, _OUTCOME, outcome_to_json(outcome))
            self._show_to_optuna(trial_id, outcome)

    def settle(self) -> None:
        """Give trials their state in Optuna's eyes where a kill came between it and the outcome."""
        with self._database.reached():
            running = self._storage.get_all_trials(self._id, deepcopy=False, states=(TrialState.RUNNING,))
            for trial in running:
                if (outcome := _stored(trial).outcome) is not None:
                    self._show_to_optuna(trial._trial_id, outcome)

    def run(self, key: str) -> Outcome | None:
        """Return the outcome kept for the job of that key, by a trial of the search or by ``keep_run``."""
        kept = self._attributes.get(_RUN + key)
        return self._outcomes_of_search.get(key) if kept is None else outcome_from_json(kept)

    def keep_run(self, key: str, outcome: Outcome) -> None:
        """Keep the outcome of a run beside the trials; a failure is not kept: it may go well another time."""
        if not isinstance(outcome, Failed):
            self._set(_RUN + key, outcome_to_json(outcome))

    @cached_property
    def _outcomes_of_search(self) -> Mapping[str, Outcome]:
        """Hold outcomes by job as they were at first use, which is after the search."""
        found = {trial.key: trial.outcome for trial in self.trials() if trial.key}
        return {key: each for key, each in found.items() if not isinstance(each, Failed | None)}

    def _set(self, key: str, value: Any) -> None:
        with self._database.reached():
            self._storage.set_study_user_attr(self._id, key, value)
        self._attributes[key] = value

    def _show_to_optuna(self, trial_id: int, outcome: Outcome) -> None:
        verdict = judge(self.study, outcome)
        for name, over in verdict.excess.items():
            self._storage.set_trial_system_attr(trial_id, f"constraints:{name}", float(over))
        values = [float(figure) for figure in verdict.figures or () if figure is not None]
        if values and len(values) == len(self.study.objectives):
            self._storage.set_trial_state_values(trial_id, TrialState.COMPLETE, values)
        else:
            state = TrialState.PRUNED if isinstance(outcome, Stopped) else TrialState.FAIL
            self._storage.set_trial_state_values(trial_id, state)


def _stored(trial: FrozenTrial) -> StoredTrial:
    kept = trial.user_attrs
    outcome = outcome_from_json(kept[_OUTCOME]) if _OUTCOME in kept else None
    return StoredTrial(trial.number, settings_from_json(kept[_SETTINGS]), outcome, trial.params, kept[_JOB])
