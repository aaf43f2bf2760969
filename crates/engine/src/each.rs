//! Every unit once, each result kept as soon as it is there.

use std::{borrow::Borrow, collections::BTreeMap, path::Path, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    Budget, Control, Error, Event, Failure, Key, Kind, Result, Store, arrays,
    budget::Step,
    store::{FAILURES, UNITS},
};

/// Units of work, and what is done with each.
pub trait Units: Sync {
    /// What can go wrong with a unit.
    type Error: From<Error> + From<files::Error> + Send;

    /// The stage that works on them; results are kept under its name.
    fn stage(&self) -> &'static str;

    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a unit is still there: those that failed before are passed over.
    fn is_there(&self, unit: usize) -> bool;

    /// What the observer calls a unit.
    fn name(&self, unit: usize) -> &str;

    /// Everything that decides the result of a unit, as a key.
    fn key(&self, unit: usize) -> Result<Key, Self::Error>;

    /// The most bytes that work on a unit takes.
    fn footprint(&self, unit: usize) -> u64;

    /// The bytes of its file, which [`crate::to_bytes`] made with this key.
    fn make(&self, unit: usize, key: &Key) -> Result<Vec<u8>, Self::Error>;

    /// What an error says of a unit.
    ///
    /// # Errors
    /// The error itself where it is of no unit: it stops the run.
    fn judge(&self, unit: usize, error: Self::Error) -> Result<Judged, Self::Error>;
}

/// A unit that failed, and whether another try may succeed at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// Which, and why.
    pub failure: Failure,
    /// Try it again in this run.
    pub again: bool,
}

/// Does the work, within a budget, and keeps what comes of it.
#[derive(Debug)]
pub struct Engine<'a> {
    /// Where results are kept.
    pub store: &'a Store,
    /// What work may take of the machine.
    pub budget: Budget,
    /// How long to wait before units are tried again whose files could not be read: a network folder
    /// may be away for a moment.
    waits: &'a [Duration],
}

/// What became of units.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcomes {
    /// Key of each unit that is done.
    pub keys: Vec<Option<Key>>,
    /// The others, in order; without those that were not there.
    pub failures: Vec<Failure>,
}

impl<'a> Engine<'a> {
    /// Keeps results in `store`; a unit that could not be read is tried again after one second, and
    /// after four.
    pub fn new(store: &'a Store, budget: Budget) -> Self {
        const WAITS: &[Duration] = &[Duration::from_secs(1), Duration::from_secs(4)];
        Self { store, budget, waits: WAITS }
    }

    /// Works on each unit that is still there and not yet done; one that fails is left out, with its
    /// reason. Where its contents are not to blame it is tried again, now and in later runs.
    pub fn each<U: Units, E: From<Event>>(
        &self,
        units: &U,
        control: &mut Control<'_, E>,
    ) -> Result<Outcomes, U::Error> {
        control.checkpoint()?;
        let all: Vec<usize> = (0..units.len()).filter(|&unit| units.is_there(unit)).collect();
        let keys = vec![None; units.len()];
        let mut round = Round { engine: self, units, keys, done: 0, total: all.len() };
        let mut failed = round.run(all, control)?;
        let stage = units.stage();
        for wait in self.waits {
            let again: Vec<usize> =
                failed.iter().filter(|it| it.again).map(|it| it.failure.unit).collect();
            if again.is_empty() {
                break;
            }
            control.tell(Event::TriedAgain { stage, n: again.len() });
            control.wait(*wait)?;
            failed.retain(|it| !it.again);
            failed.extend(round.run(again, control)?);
        }
        // a unit that needs more memory than there is fails again, however long one waits
        let may_return = failed.iter().all(|it| it.again);
        let n_done = round.keys.iter().flatten().count();
        if may_return {
            let failures: Vec<&Failure> = failed.iter().map(|it| &it.failure).collect();
            none_in_reach(&failures, n_done, "scans")?;
        }
        failed.sort_by_key(|it| it.failure.unit);
        for judged in failed.iter().filter(|it| it.again) {
            round.tell(&judged.failure, control);
        }
        control.checkpoint()?;
        let (keys, failures) = (round.keys, failed.into_iter().map(|it| it.failure).collect());
        Ok(Outcomes { keys, failures })
    }
}

/// Stops the run where every unit failed and the contents of none are to blame: nothing is learned
/// from going on. `what` names several units.
pub fn none_in_reach<F: Borrow<Failure>>(
    failures: &[F],
    n_done: usize,
    what: &'static str,
) -> Result<()> {
    match failures.first() {
        Some(first) if n_done == 0 && failures.iter().all(|it| it.borrow().transient) => {
            let reason = first.borrow().reason.anonymous.clone();
            Err(Error::OutOfReach { n: failures.len(), what, reason })
        }
        _ => Ok(()),
    }
}

/// The units of a stage, as far as they are done.
struct Round<'a, U> {
    engine: &'a Engine<'a>,
    units: &'a U,
    /// Of the units that are done.
    keys: Vec<Option<Key>>,
    done: usize,
    /// Units whose end was told.
    total: usize,
}

impl<U: Units> Round<'_, U> {
    /// Works on these units; the ones that failed.
    fn run<E: From<Event>>(
        &mut self,
        which: Vec<usize>,
        control: &mut Control<'_, E>,
    ) -> Result<Vec<Judged>, U::Error> {
        let (units, stage, store) = (self.units, self.units.stage(), self.engine.store);
        let (mut failed, mut pending) = (Vec::new(), Vec::new());
        for unit in which {
            let key = match units.key(unit) {
                Ok(key) => key,
                Err(error) => {
                    failed.push(self.failed(unit, error, control)?);
                    continue;
                }
            };
            let path = store.unit(stage, &key);
            match arrays::check(&path, &key) {
                Ok(_) => {
                    self.keys[unit] = Some(key);
                    self.done += 1;
                    continue;
                }
                Err(problem) if path.exists() => {
                    let unit = units.name(unit).to_owned();
                    let reason = format!("{}: {problem}", files::shown(&path));
                    control.tell(Event::UnitRedone { stage, unit, reason });
                }
                Err(_) => {}
            }
            pending.push((unit, key));
        }
        control.tell(Event::Advanced { stage, done: self.done, total: self.total });
        control.checkpoint()?;
        let work = |_: usize, (unit, key): &(usize, Key)| -> Result<(), U::Error> {
            Ok(files::write_atomic(&store.unit(stage, key), &units.make(*unit, key)?)?)
        };
        let jobs = control.execution().jobs;
        self.engine.budget.with_jobs(jobs).steps(
            &pending,
            |(unit, _)| units.footprint(*unit),
            work,
            |at, step| {
                let (unit, key) = &pending[at];
                match step {
                    Step::Begun => {
                        control.tell(Event::UnitBegun { stage, unit: *unit });
                        return Ok(());
                    }
                    Step::Ended(Ok(())) => {
                        self.keys[*unit] = Some(key.clone());
                        self.done += 1;
                        control.tell(Event::UnitDone { stage, unit: *unit });
                    }
                    Step::Ended(Err(error)) => failed.push(self.failed(*unit, error, control)?),
                }
                let done = self.done + failed.len();
                control.tell(Event::Advanced { stage, done, total: self.total });
                Ok::<(), U::Error>(control.checkpoint()?)
            },
        )?;
        control.checkpoint()?;
        Ok(failed)
    }

    /// What an error says of a unit; told at once unless the unit is tried again.
    fn failed<E: From<Event>>(
        &self,
        unit: usize,
        error: U::Error,
        control: &mut Control<'_, E>,
    ) -> Result<Judged, U::Error> {
        let judged = self.units.judge(unit, error)?;
        if !judged.again {
            self.tell(&judged.failure, control);
        }
        Ok(judged)
    }

    fn tell<E: From<Event>>(&self, failure: &Failure, control: &mut Control<'_, E>) {
        let place = (failure.unit, self.units.len());
        let name = self.units.name(failure.unit);
        control.unit_failed(self.units.stage(), place, name, &failure.reason);
    }
}

/// The list of a stage's results, as it is stored.
#[derive(Serialize, Deserialize)]
struct Listed {
    keys: Vec<Option<Key>>,
}

impl Outcomes {
    /// How many failed, by the kind of failure.
    pub fn counts(&self) -> BTreeMap<&Kind, usize> {
        let mut counts = BTreeMap::new();
        for failure in &self.failures {
            *counts.entry(&failure.reason.kind).or_default() += 1;
        }
        counts
    }

    /// Writes the list of results and the failures into the folder of a stage.
    pub fn write(&self, dir: &Path) -> Result<()> {
        files::write_json(&dir.join(UNITS), &Listed { keys: self.keys.clone() })?;
        Ok(files::write_json(&dir.join(FAILURES), &self.failures)?)
    }

    /// Reads what [`Outcomes::write`] wrote.
    pub fn read(dir: &Path) -> Result<Self> {
        let Listed { keys } = files::read_json(&dir.join(UNITS))?;
        Ok(Self { keys, failures: files::read_json(&dir.join(FAILURES))? })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        num::NonZeroUsize,
        sync::{
            Mutex,
            atomic::{AtomicBool, AtomicUsize, Ordering},
        },
    };

    use serde_json::json;

    use super::*;
    use crate::{Execution, Header, Kind, Numbers, Observer, Reason, read, to_bytes};

    /// Squares of whole numbers; some are broken, some cannot be read at first.
    struct Squares {
        numbers: Vec<usize>,
        broken: usize,
        /// Tries that fail before `away` can be read.
        tries: Mutex<usize>,
        away: usize,
        gone: Option<usize>,
        made: AtomicUsize,
    }

    impl Squares {
        fn of(numbers: &[usize]) -> Self {
            let (tries, made) = (Mutex::new(0), AtomicUsize::new(0));
            let none = usize::MAX;
            Self { numbers: numbers.to_vec(), broken: none, tries, away: none, gone: None, made }
        }

        fn n_made(&self) -> usize {
            self.made.swap(0, Ordering::Relaxed)
        }
    }

    impl Units for Squares {
        type Error = Error;

        fn stage(&self) -> &'static str {
            "square"
        }

        fn len(&self) -> usize {
            self.numbers.len()
        }

        fn is_there(&self, unit: usize) -> bool {
            self.gone != Some(unit)
        }

        fn name(&self, _: usize) -> &'static str {
            "a number"
        }

        fn key(&self, unit: usize) -> Result<Key> {
            Ok(Key::of(&json!(self.numbers[unit])))
        }

        fn footprint(&self, _: usize) -> u64 {
            1
        }

        fn make(&self, unit: usize, key: &Key) -> Result<Vec<u8>> {
            let number = self.numbers[unit];
            let missing = || std::io::Error::from_raw_os_error(2);
            if number == self.broken {
                return Err(
                    files::at("read", Path::new("broken"))(std::io::Error::other("cut")).into()
                );
            }
            if number == self.away {
                let mut tries = self.tries.lock().unwrap();
                if *tries > 0 {
                    *tries -= 1;
                    return Err(files::at("read", Path::new("away"))(missing()).into());
                }
            }
            self.made.fetch_add(1, Ordering::Relaxed);
            let header = Header { key: key.clone(), what: "a square".to_owned(), facts: json!({}) };
            let square = [(number * number) as f64];
            Ok(to_bytes(&header, &[("square", &[1], Numbers::F64(&square))]))
        }

        fn judge(&self, unit: usize, error: Error) -> Result<Judged> {
            if error.stops_the_run() {
                return Err(error);
            }
            let again = error.to_string().starts_with("away");
            let reason = Reason::plain(error.to_string()).of_kind(Kind::new("cut"));
            Ok(Judged { failure: Failure { unit, reason, transient: again }, again })
        }
    }

    #[derive(Default)]
    struct Heard(Vec<String>);

    impl Observer for Heard {
        fn event(&mut self, event: &Event) {
            let said = match event {
                Event::UnitFailed { number, n, anonymous, .. } => {
                    format!("{number}/{n} {anonymous}")
                }
                Event::UnitRedone { reason, .. } => format!("again {reason}"),
                Event::TriedAgain { n, .. } => format!("{n} tried again"),
                _ => return,
            };
            self.0.push(said);
        }
    }

    fn each(root: &Path, units: &Squares, stop: bool) -> (Result<Outcomes>, Vec<String>) {
        let store = Store::new(root);
        let budget = Budget { n_workers: 2.try_into().unwrap(), n_bytes: 10 };
        let engine = Engine { store: &store, budget, waits: &[Duration::ZERO, Duration::ZERO] };
        let (mut heard, stop) = (Heard::default(), AtomicBool::new(stop));
        let outcomes = engine.each(units, &mut Control::new(&mut heard, &stop));
        (outcomes, heard.0)
    }

    #[test]
    fn a_unit_is_done_once_and_another_one_alone() {
        let root = tempfile::tempdir().unwrap();
        let units = Squares::of(&[3, 4, 5]);
        let (outcomes, _) = each(root.path(), &units, false);
        let outcomes = outcomes.unwrap();
        assert_eq!((units.n_made(), outcomes.failures.len()), (3, 0));
        let dir = root.path().join("list");
        outcomes.write(&dir).unwrap();
        assert_eq!(Outcomes::read(&dir).unwrap(), outcomes);
        let listed = Store::new(root.path()).listed("square", &dir).unwrap();
        let unit = listed[1].as_ref().unwrap();
        assert_eq!(read(&unit.path, &unit.key).unwrap().1.take("square").1, [16.0]);
        assert_eq!(each(root.path(), &units, false).0.unwrap(), outcomes);
        assert_eq!(units.n_made(), 0, "nothing is done twice");
        let more = Squares::of(&[5, 6, 4, 3]);
        let grown = each(root.path(), &more, false).0.unwrap();
        assert_eq!((more.n_made(), &grown.keys[0]), (1, &outcomes.keys[2]));
        // what is not what was written is made again, and said
        std::fs::write(&unit.path, "x").unwrap();
        assert!(matches!(
            Store::new(root.path()).listed("square", &dir),
            Err(Error::Damaged { .. })
        ));
        let (again, heard) = each(root.path(), &units, false);
        assert_eq!((again.unwrap(), units.n_made()), (outcomes, 1));
        assert!(heard[0].starts_with("again ") && heard[0].contains("cut short"), "{heard:?}");
    }

    #[test]
    fn a_failed_unit_is_left_out_and_one_that_was_away_is_tried_again() {
        let root = tempfile::tempdir().unwrap();
        let units =
            Squares { broken: 4, away: 5, tries: Mutex::new(2), ..Squares::of(&[3, 4, 5, 6]) };
        let units = Squares { gone: Some(3), ..units };
        let (outcomes, heard) = each(root.path(), &units, false);
        let outcomes = outcomes.unwrap();
        let done: Vec<bool> = outcomes.keys.iter().map(Option::is_some).collect();
        assert_eq!(done, [true, false, true, false], "the last one was not there");
        assert_eq!(heard, ["2/4 broken: cannot read: cut", "1 tried again", "1 tried again"]);
        assert_eq!(outcomes.failures.len(), 1);
        assert!(!outcomes.failures[0].transient);
        assert_eq!(outcomes.counts(), [(&Kind::new("cut"), 1)].into());
    }

    #[test]
    fn the_first_failure_ends_the_work_where_that_is_asked_and_what_is_done_is_kept() {
        let root = tempfile::tempdir().unwrap();
        let units = Squares { broken: 4, ..Squares::of(&[3, 4, 5, 6, 7, 8, 9, 10]) };
        let store = Store::new(root.path());
        let budget = Budget { n_workers: 8.try_into().unwrap(), n_bytes: 10 };
        let engine = Engine { store: &store, budget, waits: &[] };
        let (mut heard, stop) = (Heard::default(), AtomicBool::new(false));
        let execution = Execution { jobs: NonZeroUsize::new(1), stop_on_first_failure: true };
        let mut control = Control::new(&mut heard, &stop).executing(execution);
        let error = engine.each(&units, &mut control).unwrap_err();
        assert!(matches!(error, Error::FirstFailure { stage: "square", .. }), "{error}");
        assert_eq!(heard.0, ["2/8 broken: cannot read: cut"]);
        let n_before = units.n_made();
        assert!((1..6).contains(&n_before), "{n_before} were made");
        let (outcomes, _) = each(root.path(), &units, false);
        assert_eq!(outcomes.unwrap().failures.len(), 1);
        assert_eq!(units.n_made(), 7 - n_before);
    }

    #[test]
    fn where_all_are_away_or_a_stop_is_wished_the_run_ends() {
        let root = tempfile::tempdir().unwrap();
        let away = Squares { away: 3, tries: Mutex::new(9), ..Squares::of(&[3]) };
        let error = each(root.path(), &away, false).0.unwrap_err();
        assert!(matches!(error, Error::OutOfReach { n: 1, .. }), "{error}");
        let stopped = each(root.path(), &Squares::of(&[7]), true).0;
        assert!(matches!(stopped, Err(Error::Interrupted)));
    }
}
