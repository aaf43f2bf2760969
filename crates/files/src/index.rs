//! What was learned from files that were read before, known again by what the system says of them.

use std::{
    collections::BTreeMap,
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Result, sha256_bytes, sha256_file, write_atomic};

/// A file that changed so shortly before it was read may change again without its times telling: some
/// file systems count in whole seconds.
const SETTLED: Duration = Duration::from_secs(2);

/// Begins the first line of an index; another form is another number, and is not read.
const FORM: &str = "files known by size, times and inode, form 3, sha256 ";

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Hexadecimal digits of the digest of a path that name a file.
const NAME: usize = 32;

/// The most facts that are kept of one file, the newest: each setting asks its own question.
const FACTS: usize = 8;

/// What the system says of a file; where any of it changes, the file is read again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    size: u64,
    /// Seconds and nanoseconds since 1970.
    modified: (i64, i64),
    /// Of content, name or permissions; no program sets it.
    changed: (i64, i64),
    inode: u64,
    device: u64,
}

/// A file that was read: what the system said of it, its digest, and answers to questions, each as JSON text,
/// which takes a tenth of the memory of its values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Known(Seen, Option<Box<str>>, Vec<(Box<str>, Box<str>)>);

impl Known {
    fn of(seen: Seen) -> Self {
        Self(seen, None, Vec::new())
    }

    fn fact(&self, question: &str) -> Option<&str> {
        self.2.iter().find(|(asked, _)| **asked == *question).map(|(_, answer)| &**answer)
    }

    /// The same with what `older` knows of the file, where it is the same file.
    fn and(mut self, older: Self) -> Self {
        if self.0 != older.0 {
            return self;
        }
        self.1 = self.1.or(older.1);
        let mut facts = older.2;
        facts.retain(|(asked, _)| self.fact(asked).is_none());
        facts.append(&mut self.2);
        let n_dropped = facts.len().saturating_sub(FACTS);
        self.2 = facts.split_off(n_dropped);
        self
    }
}

/// What files said when they were read, kept in a file of its own, so that what did not change is not read
/// again: their digests, and facts that a plan asks of their headers.
///
/// A file is known by its path, size, times and inode. Paths are kept as digests.
#[derive(Debug)]
pub struct FileIndex {
    /// None of an index that is not kept.
    path: Option<PathBuf>,
    trusting: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// As they were stored, the newest first.
    stored: Vec<Stored>,
    /// Entries that are not stored yet.
    new: BTreeMap<String, Known>,
    n_read: usize,
}

impl State {
    fn get(&self, name: &str) -> Option<Known> {
        let new = self.new.get(name).cloned();
        let stored = self.stored.iter().filter_map(|it| it.get(name));
        new.into_iter().chain(stored).reduce(Known::and)
    }

    /// Adds to what is known of a file.
    fn learn(&mut self, name: String, known: Known) {
        let known = match self.new.remove(&name) {
            Some(older) => known.and(older),
            None => known,
        };
        self.new.insert(name, known);
    }
}

/// A stored index: a line a file, sorted by its name. A line is parsed when it is asked for, because a
/// cohort has tens of thousands and each is asked for once.
#[derive(Debug, Default)]
struct Stored {
    text: String,
    lines: Vec<Range<usize>>,
}

impl Stored {
    /// What was written; nothing where it is not there, damaged or of another form.
    fn read(path: &Path) -> Self {
        Self::whole(path).unwrap_or_default()
    }

    fn whole(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        let (first, rest) = text.split_once('\n')?;
        if sha256_bytes(rest.as_bytes()) != first.strip_prefix(FORM)? {
            return None;
        }
        let mut lines = Vec::with_capacity(rest.len() / 256);
        let mut start = first.len() + 1;
        for line in rest.split_inclusive('\n') {
            lines.push(start..start + line.len());
            start += line.len();
        }
        Some(Self { text, lines })
    }

    fn name(&self, line: &Range<usize>) -> &str {
        self.text[line.clone()].get(..NAME).unwrap_or_default()
    }

    fn get(&self, name: &str) -> Option<Known> {
        let at = self.lines.binary_search_by(|line| self.name(line).cmp(name)).ok()?;
        serde_json::from_str(self.text[self.lines[at].clone()].get(NAME..)?).ok()
    }

    /// Name and line of every file.
    fn entries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.lines.iter().map(|line| (self.name(line), &self.text[line.clone()]))
    }

    /// The bytes of an index of these files and of `new` ones.
    fn with(&self, new: BTreeMap<String, Known>) -> Vec<u8> {
        const UNKNOWN: [u8; 64] = [b'0'; 64];
        let mut bytes = [FORM.as_bytes(), &UNKNOWN, b"\n"].concat();
        let start = bytes.len();
        let mut old = self.entries().peekable();
        for (name, known) in new {
            while let Some((_, line)) = old.next_if(|(older, _)| *older < name.as_str()) {
                bytes.extend_from_slice(line.as_bytes());
            }
            let known = match self.get(&name) {
                Some(older) => known.and(older),
                None => known,
            };
            old.next_if(|(older, _)| *older == name);
            let said = serde_json::to_string(&known).expect("plain values");
            bytes.extend_from_slice(format!("{name} {said}\n").as_bytes());
        }
        old.for_each(|(_, line)| bytes.extend_from_slice(line.as_bytes()));
        let digest = sha256_bytes(&bytes[start..]);
        bytes[FORM.len()..FORM.len() + UNKNOWN.len()].copy_from_slice(digest.as_bytes());
        bytes
    }
}

impl FileIndex {
    /// The index in `path`; an empty one where there is none, or it is damaged or of an older form.
    pub fn open(path: &Path) -> Self {
        let state = State { stored: vec![Stored::read(path)], ..State::default() };
        Self { path: Some(path.to_owned()), trusting: true, state: Mutex::new(state) }
    }

    /// The index in `path`, with what is new in a part of its own until [`FileIndex::gather`]: several
    /// processes add to one index without writing one file. `name` is a file name.
    pub fn open_part(path: &Path, name: &str) -> Self {
        let part = parts_of(path).join(format!("{name}.json"));
        let stored = vec![Stored::read(&part), Stored::read(path)];
        let state = State { stored, ..State::default() };
        Self { path: Some(part), trusting: true, state: Mutex::new(state) }
    }

    /// The same, but every file is read.
    #[must_use]
    pub fn reading_all(self) -> Self {
        Self { trusting: false, ..self }
    }

    /// Whether a file that did not change is known without being read.
    pub fn is_trusting(&self) -> bool {
        self.trusting
    }

    /// Takes the parts of the index into its file.
    pub fn gather(&self) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let parts = parts_of(path);
        let mut names = if parts.is_dir() { crate::list(&parts)? } else { Vec::new() };
        // what another process is writing is about to get its name
        names.retain(|name| !name.starts_with(crate::PARTIAL));
        if names.is_empty() {
            return Ok(());
        }
        for name in &names {
            let part = Stored::read(&parts.join(name));
            let mut state = self.state();
            for name in part.entries().map(|(name, _)| name.to_owned()) {
                if let Some(known) = part.get(&name) {
                    state.learn(name, known);
                }
            }
        }
        self.save()?;
        // a process that still works loses what it added at most, and that is read again
        names.iter().try_for_each(|name| crate::remove_file(&parts.join(name)))
    }

    /// An index in `path` that knows nothing: every file is read.
    pub fn verifying(path: &Path) -> Self {
        Self { path: Some(path.to_owned()), trusting: false, state: Mutex::default() }
    }

    /// An index of other files in `path`, which trusts as this one does.
    pub fn beside(&self, path: &Path) -> Self {
        if self.trusting { Self::open(path) } else { Self::verifying(path) }
    }

    /// An index that knows nothing and is not kept, for work that is done once.
    pub fn unkept() -> Self {
        Self { path: None, trusting: false, state: Mutex::default() }
    }

    /// The SHA-256 of a file, in hexadecimal.
    pub fn sha256(&self, path: &Path) -> io::Result<String> {
        let before = Asked::of(path, &[], "")?;
        if let Some(known) = self.known(before.as_ref())
            && let Some(sha256) = known.1
        {
            return Ok(sha256.into());
        }
        let begun = SystemTime::now();
        let sha256 = sha256_file(path)?;
        let after = Asked::of(path, &[], "")?;
        self.learned(before, after, begun, |_, known| known.1 = Some(sha256.as_str().into()));
        Ok(sha256)
    }

    /// What `learn` says of a file; what it said before, where neither the file nor those of `beside` have
    /// changed since. Those of `beside` need not be there, and `path` may be among them. `question` names
    /// what is asked and every setting that the answer depends on. An error is not kept: it may be of the
    /// system, so the file is read again.
    pub fn fact<T: Serialize + DeserializeOwned, E>(
        &self,
        path: &Path,
        beside: &[PathBuf],
        question: &str,
        learn: impl FnOnce() -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        // a file that cannot be looked at has `learn` say why
        let before = Asked::of(path, beside, question).ok().flatten();
        if let (Some(asked), Some(known)) = (&before, self.known(before.as_ref()))
            && let Some(answer) = known.fact(&asked.question)
            && let Ok(answer) = serde_json::from_str(answer)
        {
            return Ok(answer);
        }
        let begun = SystemTime::now();
        let answer = learn()?;
        let after = Asked::of(path, beside, question).ok().flatten();
        if let Ok(said) = serde_json::to_string(&answer) {
            self.learned(before, after, begun, |question, known| {
                known.2.push((question.into(), said.into()));
            });
        }
        Ok(answer)
    }

    /// What is known of a file that is still the same.
    fn known(&self, asked: Option<&Asked>) -> Option<Known> {
        let asked = asked.filter(|_| self.trusting)?;
        self.state().get(&asked.name).filter(|known| known.0 == asked.seen)
    }

    /// Counts a file that was read, and keeps what `add` says of it where nothing changed meanwhile.
    fn learned(
        &self,
        before: Option<Asked>,
        after: Option<Asked>,
        begun: SystemTime,
        add: impl FnOnce(&str, &mut Known),
    ) {
        let mut state = self.state();
        state.n_read += 1;
        if let Some(asked) = before.filter(|_| self.path.is_some())
            && after.as_ref() == Some(&asked)
            && asked.is_settled(begun)
        {
            let mut known = Known::of(asked.seen);
            add(&asked.question, &mut known);
            state.learn(asked.name, known);
        }
    }

    /// How many files were read, each as often as it was.
    pub fn n_read(&self) -> usize {
        self.state().n_read
    }

    /// Adds what is new to the file; what others added in between stays.
    pub fn save(&self) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let mut state = self.state();
        if state.new.is_empty() {
            return Ok(());
        }
        let new = std::mem::take(&mut state.new);
        write_atomic(path, &Stored::read(path).with(new))?;
        if self.trusting {
            // what was new is found there from now on
            let stored = Stored::read(path);
            match state.stored.first_mut() {
                Some(first) => *first = stored,
                None => state.stored.push(stored),
            }
        }
        Ok(())
    }

    /// Every change is whole, so a panic elsewhere leaves nothing half done.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question about a file, as the file was when it was asked.
#[derive(Debug, PartialEq)]
struct Asked {
    name: String,
    seen: Seen,
    /// With what the system says of the files beside it.
    question: String,
    /// When one of the files changed last.
    changed: Duration,
}

impl Asked {
    /// `None` where the system does not say enough to know a file again.
    fn of(path: &Path, beside: &[PathBuf], question: &str) -> io::Result<Option<Self>> {
        let mut name = sha256_bytes(std::path::absolute(path)?.as_os_str().as_encoded_bytes());
        name.truncate(NAME);
        let Some(seen) = seen(path)? else { return Ok(None) };
        // another version may read the same bytes otherwise
        let mut question = format!("{VERSION} {question}");
        let mut changed = seen.last_change();
        for path in beside.iter().filter(|it| *it != path) {
            let beside = match seen_if_there(path)? {
                Some(seen) => {
                    changed = changed.max(seen.last_change());
                    serde_json::to_string(&seen).expect("plain values")
                }
                None => String::from("absent"),
            };
            question = sha256_bytes(format!("{question} {beside}").as_bytes());
            question.truncate(NAME);
        }
        Ok(Some(Self { name, seen, question, changed }))
    }

    /// Whether the last change lies far enough before `now` that another one would show.
    fn is_settled(&self, now: SystemTime) -> bool {
        self.changed + SETTLED < now.duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

impl Seen {
    /// Since 1970.
    fn last_change(&self) -> Duration {
        let (seconds, nanoseconds) = self.modified.max(self.changed);
        Duration::new(seconds.max(0) as u64, nanoseconds.max(0) as u32)
    }
}

/// The folder of the parts of an index.
fn parts_of(path: &Path) -> PathBuf {
    path.with_extension("parts")
}

fn seen_if_there(path: &Path) -> io::Result<Option<Seen>> {
    match seen(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other,
    }
}

/// `None` where the system does not say enough to know a file again.
#[cfg(unix)]
fn seen(path: &Path) -> io::Result<Option<Seen>> {
    use std::os::unix::fs::MetadataExt as _;
    let it = fs::metadata(path)?;
    Ok(Some(Seen {
        size: it.len(),
        modified: (it.mtime(), it.mtime_nsec()),
        changed: (it.ctime(), it.ctime_nsec()),
        inode: it.ino(),
        device: it.dev(),
    }))
}

#[cfg(not(unix))]
fn seen(path: &Path) -> io::Result<Option<Seen>> {
    fs::metadata(path).map(|_| None)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn settle() {
        std::thread::sleep(SETTLED + Duration::from_millis(50));
    }

    #[test]
    fn parts_of_an_index_are_gathered_into_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b, list] = ["a", "b", "digests.json"].map(|name| dir.path().join(name));
        fs::write(&a, "abc").unwrap();
        fs::write(&b, "abd").unwrap();
        settle();
        for (name, path) in [("run-1", &a), ("run-2", &b)] {
            let part = FileIndex::open_part(&list, name);
            part.sha256(path).unwrap();
            part.save().unwrap();
            assert!(!list.exists(), "a part writes its own file only");
        }
        let again = FileIndex::open_part(&list, "run-1");
        assert_eq!((again.sha256(&a).unwrap(), again.n_read()), (sha256_bytes(b"abc"), 0));
        // what another process is just writing stays
        let aside = parts_of(&list).join(format!("{}x", crate::PARTIAL));
        fs::write(&aside, "half").unwrap();
        FileIndex::open(&list).gather().unwrap();
        assert!(aside.is_file());
        fs::remove_file(&aside).unwrap();
        assert!(crate::list(&parts_of(&list)).unwrap().is_empty());
        let whole = FileIndex::open(&list);
        assert_eq!(
            [&a, &b].map(|path| whole.sha256(path).unwrap()),
            [sha256_bytes(b"abc"), sha256_bytes(b"abd")]
        );
        assert_eq!(whole.n_read(), 0);
    }

    #[test]
    fn a_file_is_read_once_and_again_when_anything_of_it_changes() {
        let dir = tempfile::tempdir().unwrap();
        let [path, list] = ["scan", "digests.json"].map(|name| dir.path().join(name));
        fs::write(&path, "abc").unwrap();
        let fresh = FileIndex::open(&list);
        assert_eq!(fresh.sha256(&path).unwrap(), sha256_bytes(b"abc"));
        assert_eq!(fresh.sha256(&path).unwrap(), sha256_bytes(b"abc"));
        assert_eq!(fresh.n_read(), 2, "it may have changed within the same moment");
        fresh.save().unwrap();
        assert!(!list.exists(), "nothing is known yet");
        settle();
        fresh.sha256(&path).unwrap();
        fresh.save().unwrap();
        let read = |index: &FileIndex| (index.sha256(&path).unwrap(), index.n_read());
        assert_eq!(read(&FileIndex::open(&list)), (sha256_bytes(b"abc"), 0));
        assert_eq!(read(&FileIndex::verifying(&list)), (sha256_bytes(b"abc"), 1));
        // another content of the same length, with the time of the first
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, "abd").unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        assert_eq!(read(&FileIndex::open(&list)), (sha256_bytes(b"abd"), 1));
        // another file under the same name
        let beside = dir.path().join("beside");
        fs::write(&beside, "abc").unwrap();
        fs::rename(&beside, &path).unwrap();
        assert_eq!(read(&FileIndex::open(&list)), (sha256_bytes(b"abc"), 1));
        settle();
        let whole = FileIndex::open(&list);
        whole.sha256(&path).unwrap();
        whole.save().unwrap();
        assert_eq!(read(&FileIndex::open(&list)).1, 0);
        // one digit of a digest
        let text = fs::read_to_string(&list).unwrap();
        let digit = sha256_bytes(b"abc");
        fs::write(&list, text.replace(&digit, &sha256_bytes(b"abd"))).unwrap();
        let damaged = FileIndex::open(&list);
        assert_eq!(read(&damaged), (digit, 1), "a damaged list is an empty one");
        assert!(FileIndex::open(&list).sha256(&dir.path().join("nowhere")).is_err());
    }

    #[test]
    fn two_runs_keep_what_the_other_learned_and_no_path_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("digests.json");
        let paths = ["sub-01", "sub-02"].map(|name| dir.path().join(name));
        paths.iter().for_each(|path| fs::write(path, path.as_os_str().as_encoded_bytes()).unwrap());
        settle();
        let runs = [FileIndex::open(&list), FileIndex::open(&list)];
        for (run, path) in runs.iter().zip(&paths) {
            run.sha256(path).unwrap();
            run.save().unwrap();
        }
        let third = FileIndex::open(&list);
        paths.iter().for_each(|path| drop(third.sha256(path).unwrap()));
        assert_eq!(third.n_read(), 0);
        assert!(!fs::read_to_string(&list).unwrap().contains("sub-0"));
    }

    #[test]
    fn a_fact_is_asked_once_and_again_when_file_neighbour_or_question_change() {
        let dir = tempfile::tempdir().unwrap();
        let [path, beside, list] =
            ["table.tsv", "table.json", "files.index"].map(|name| dir.path().join(name));
        fs::write(&path, "a\tb\n1\t2\n").unwrap();
        settle();
        let ask = |index: &FileIndex, question: &str| -> (Result<usize, String>, usize) {
            let said = index.fact(&path, std::slice::from_ref(&beside), question, || {
                let text = fs::read_to_string(&path).map_err(|_| "away".to_owned())?;
                Ok(text.lines().count())
            });
            index.save().unwrap();
            (said, index.n_read())
        };
        let first = FileIndex::open(&list);
        assert_eq!(ask(&first, "lines"), (Ok(2), 1));
        assert_eq!(ask(&first, "lines"), (Ok(2), 1), "known after it was saved, too");
        first.sha256(&path).unwrap();
        first.save().unwrap();
        let again = FileIndex::open(&list);
        assert_eq!(ask(&again, "lines"), (Ok(2), 0));
        again.sha256(&path).unwrap();
        assert_eq!(again.n_read(), 0, "a digest and a fact of one file stand beside each other");
        assert_eq!(ask(&FileIndex::open(&list), "other lines"), (Ok(2), 1));
        assert_eq!(ask(&FileIndex::verifying(&list), "lines"), (Ok(2), 1));
        assert_eq!(ask(&FileIndex::unkept(), "lines"), (Ok(2), 1));
        let text = fs::read_to_string(&list).unwrap();
        assert!(!text.contains("table"), "{text}");
        // a file beside it appears, and is settled
        fs::write(&beside, "{}").unwrap();
        settle();
        assert_eq!(ask(&FileIndex::open(&list), "lines"), (Ok(2), 1));
        assert_eq!(ask(&FileIndex::open(&list), "lines"), (Ok(2), 0));
        // an answer of another form, as an earlier program may have kept
        let other: Result<String, String> =
            FileIndex::open(&list)
                .fact(&path, std::slice::from_ref(&beside), "lines", || Ok("two".to_owned()));
        assert_eq!(other.unwrap(), "two");
        // a damaged index is an empty one, whatever is damaged; an error is never kept
        let text = fs::read_to_string(&list).unwrap();
        for damaged in [text.replacen("form 3", "form 1", 1), text.replace("\"2\"]", "\"3\"]")] {
            fs::write(&list, damaged).unwrap();
            assert_eq!(ask(&FileIndex::open(&list), "lines"), (Ok(2), 1));
        }
        fs::remove_file(&path).unwrap();
        let gone = FileIndex::open(&list);
        assert_eq!(ask(&gone, "lines"), (Err("away".to_owned()), 0));
    }

    #[test]
    fn the_newest_facts_of_a_file_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let [path, list] = ["scan", "files.index"].map(|name| dir.path().join(name));
        fs::write(&path, "abc").unwrap();
        settle();
        let ask = |n: usize| {
            let index = FileIndex::open(&list);
            let said = index.fact(&path, &[], &format!("q{n}"), || Ok::<_, ()>(n)).unwrap();
            index.save().unwrap();
            (said, index.n_read())
        };
        (0..=FACTS).for_each(|n| assert_eq!(ask(n), (n, 1)));
        assert_eq!(ask(FACTS), (FACTS, 0));
        assert_eq!(ask(1), (1, 0));
        assert_eq!(ask(0), (0, 1), "the oldest of nine");
    }
}
