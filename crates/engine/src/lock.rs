//! One run at a time: a file that says who holds a folder.
//!
//! The file is made by a hard link, which is atomic on local and network file systems, and written
//! again every half minute. A holder on this machine is asked for by its process, one on another
//! machine counts as gone when its file was not written for [`SILENCE`], by the clock of the file
//! server.
use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How often the holder writes its file again.
const SIGN: Duration = Duration::from_secs(30);

/// A holder on another machine that gives no sign for so long is gone.
const SILENCE: Duration = Duration::from_mins(5);

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    host: String,
    pid: u32,
    /// Boot of the machine and name space of the processes: where `pid` means something.
    machine: Option<String>,
    /// When the process began, by the clock of the kernel: another one may get its number.
    process: Option<String>,
    /// Seconds since 1970.
    since: u64,
    /// No other lock has it.
    token: String,
}

/// A process, as people are told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its machine.
    pub host: String,
    /// Its number there.
    pub pid: u32,
    /// Now, in seconds since 1970.
    pub since: u64,
}

/// The process that asks.
pub fn this_process() -> Process {
    let Holder { host, pid, since, .. } = Holder::this();
    Process { host, pid, since }
}

/// A lock that somebody took, looked at from outside.
#[derive(Debug)]
pub struct Holding {
    /// The holder's machine.
    pub host: String,
    /// Its process there.
    pub pid: u32,
    seen: Seen,
}

impl Holding {
    /// The lock at `path`; `None` where nobody holds it.
    pub fn of(path: &Path) -> Result<Option<Self>> {
        let of = |seen: Seen| {
            let (host, pid) = seen.holder.as_ref().map(|it| (it.host.clone(), it.pid))?;
            Some(Self { host, pid, seen })
        };
        Ok(Seen::looked_at(path)?.and_then(of))
    }

    /// Whether the holder still works, as far as can be known: its process is there on this machine, or
    /// it gave a sign within minutes.
    pub fn is_alive(&self) -> bool {
        !self.seen.is_gone(&Holder::this())
    }
}

/// Holds a folder until it is dropped.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    holder: Holder,
    /// When it was taken, by the clock of the file server.
    pub taken: SystemTime,
    ended: Arc<(Mutex<bool>, Condvar)>,
    lost: Lost,
    sign: Option<JoinHandle<()>>,
}

/// Whether a lock was taken over by another run.
#[derive(Clone, Debug)]
pub struct Lost {
    what: PathBuf,
    lost: Arc<AtomicBool>,
}

impl Lost {
    /// Whether it was.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// An error where it was.
    pub fn check(&self) -> Result<()> {
        if self.is_lost() { Err(Error::LockLost { path: self.what.clone() }) } else { Ok(()) }
    }
}

impl Lock {
    /// Takes the lock at `path` on `what`.
    ///
    /// # Errors
    /// [`Error::Locked`] where another run holds it.
    pub fn take(path: &Path, what: &Path) -> Result<Self> {
        let dir = path.parent().unwrap_or(Path::new("."));
        files::make_dir(dir)?;
        let holder = Holder::this();
        let text = files::to_json(&holder) + "\n";
        // a holder that ends in between is met a second time at most
        for _ in 0..8 {
            if place(dir, path, &text)? {
                let taken = fs::metadata(path).and_then(|it| it.modified());
                let taken = taken.map_err(files::at("read", path))?;
                return Ok(Self::held(path, what, holder, taken));
            }
            let Some(seen) = Seen::of(path)? else { continue };
            if !seen.is_gone(&holder) {
                return Err(seen.refusal(path, what));
            }
            seen.take_away(path, &holder)?;
        }
        let seen = Seen::of(path)?;
        let nobody = || Error::Locked {
            path: what.to_owned(),
            holder: "its holder changes".to_owned(),
            lock: path.to_owned(),
        };
        Err(seen.map_or_else(nobody, |seen| seen.refusal(path, what)))
    }

    fn held(path: &Path, what: &Path, holder: Holder, taken: SystemTime) -> Self {
        let ended = Arc::new((Mutex::new(false), Condvar::new()));
        let lost = Lost { what: what.to_owned(), lost: Arc::default() };
        let sign = {
            let (path, holder) = (path.to_owned(), holder.clone());
            let (ended, lost) = (Arc::clone(&ended), Arc::clone(&lost.lost));
            std::thread::Builder::new().name("lock".to_owned()).spawn(move || {
                let (flag, changed) = &*ended;
                let mut flag = flag.lock().unwrap_or_else(PoisonError::into_inner);
                while !*flag {
                    let waited = changed.wait_timeout(flag, SIGN);
                    flag = waited.unwrap_or_else(PoisonError::into_inner).0;
                    if !*flag && !give_sign(&path, &holder) {
                        lost.store(true, Ordering::Relaxed);
                        return;
                    }
                }
            })
        };
        // without the thread, others believe this process on the same machine only
        Self { path: path.to_owned(), holder, taken, ended, lost, sign: sign.ok() }
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What tells whether it is lost, as long as the lock is held.
    pub fn lost(&self) -> Lost {
        self.lost.clone()
    }

    /// Whether no other live holder has a lock in the same folder.
    pub fn is_alone(&self) -> Result<bool> {
        let dir = self.path.parent().unwrap_or(Path::new("."));
        for name in files::list(dir)? {
            let path = dir.join(name);
            if path == self.path || path.extension().is_none_or(|end| end != "lock") {
                continue;
            }
            let Some(seen) = Seen::of(&path)? else { continue };
            if !seen.is_gone(&self.holder) {
                return Ok(false);
            }
            seen.take_away(&path, &self.holder)?;
        }
        Ok(true)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let (flag, changed) = &*self.ended;
        *flag.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_all();
        if let Some(sign) = self.sign.take() {
            let _ = sign.join();
        }
        if holder_of(&self.path).as_ref() == Some(&self.holder) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes the lock file with its text; `false` where one is there.
fn place(dir: &Path, path: &Path, text: &str) -> Result<bool> {
    let mut aside = tempfile::Builder::new()
        .prefix(files::PARTIAL)
        .tempfile_in(dir)
        .map_err(files::at("create a file in", dir))?;
    aside.write_all(text.as_bytes()).map_err(files::at("write", path))?;
    match fs::hard_link(aside.path(), path) {
        Ok(()) => return Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
        // some file systems have no hard links
        Err(_) => {}
    }
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => {
            file.write_all(text.as_bytes()).map_err(files::at("write", path))?;
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(files::at("create", path)(error).into()),
    }
}

/// Writes the file again, so that its time is now; `false` where it is another's.
fn give_sign(path: &Path, holder: &Holder) -> bool {
    match fs::read(path) {
        Ok(bytes) if serde_json::from_slice::<Holder>(&bytes).ok().as_ref() == Some(holder) => {
            let file = OpenOptions::new().write(true).open(path);
            let _ = file.and_then(|mut file| file.write_all(&bytes));
            true
        }
        Ok(_) => false,
        // gone for good, or away with its file server for a moment
        Err(error) => error.kind() != ErrorKind::NotFound,
    }
}

fn holder_of(path: &Path) -> Option<Holder> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// A lock file that is there.
#[derive(Debug)]
struct Seen {
    /// `None` where the file is being written, or no lock of ours.
    holder: Option<Holder>,
    silent_for: Duration,
}

impl Seen {
    /// `None` where the file is gone.
    fn of(path: &Path) -> Result<Option<Self>> {
        let written = match fs::metadata(path).and_then(|it| it.modified()) {
            Ok(written) => written,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(files::at("read", path)(error).into()),
        };
        let dir = path.parent().unwrap_or(Path::new("."));
        // a new file has the time of the file server
        let now = tempfile::tempfile_in(dir).and_then(|file: File| file.metadata()?.modified());
        let now = now.map_err(files::at("create a file in", dir))?;
        let silent_for = now.duration_since(written).unwrap_or_default();
        Ok(Some(Self { holder: holder_of(path), silent_for }))
    }

    /// The same without a file being written: the time is that of this machine.
    fn looked_at(path: &Path) -> Result<Option<Self>> {
        let written = match fs::metadata(path).and_then(|it| it.modified()) {
            Ok(written) => written,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(files::at("read", path)(error).into()),
        };
        let silent_for = SystemTime::now().duration_since(written).unwrap_or_default();
        Ok(Some(Self { holder: holder_of(path), silent_for }))
    }

    fn is_gone(&self, this: &Holder) -> bool {
        match &self.holder {
            Some(holder) if holder.machine.is_some() && holder.machine == this.machine => {
                match process(holder.pid) {
                    Some(began) => Some(began) != holder.process,
                    // some systems hide the processes of other users
                    None => process(1).is_some() || self.silent_for > SILENCE,
                }
            }
            _ => self.silent_for > SILENCE,
        }
    }

    /// Removes the file of a holder that is gone; one that was made since is put back.
    fn take_away(&self, path: &Path, this: &Holder) -> Result<()> {
        let aside = path.with_extension(format!("gone-{}", this.token));
        match fs::rename(path, &aside) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            renamed => renamed.map_err(files::at("rename", path))?,
        }
        if holder_of(&aside) != self.holder {
            let _ = fs::hard_link(&aside, path);
        }
        Ok(files::remove_file(&aside)?)
    }

    fn refusal(&self, path: &Path, what: &Path) -> Error {
        let holder = self.holder.as_ref().map_or_else(
            || "it does not say which".to_owned(),
            |it| format!("process {} on {}, since {}", it.pid, it.host, utc(it.since)),
        );
        Error::Locked { path: what.to_owned(), holder, lock: path.to_owned() }
    }
}

impl Holder {
    fn this() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let pid = std::process::id();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let kernel = |name: &str| {
            let text = fs::read_to_string(Path::new("/proc/sys/kernel").join(name)).ok()?;
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        let host = kernel("hostname").or_else(|| std::env::var("HOSTNAME").ok());
        let host = host.unwrap_or_else(|| "an unnamed machine".to_owned());
        let names = fs::read_link("/proc/self/ns/pid").ok();
        let names = names.map(|it| it.display().to_string()).unwrap_or_default();
        let machine = kernel("random/boot_id").map(|boot| format!("{boot} {names}"));
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let token = format!("{host} {pid} {} {count}", since.as_nanos());
        Self {
            machine,
            process: process(pid),
            since: since.as_secs(),
            token: files::sha256_bytes(token.as_bytes())[..16].to_owned(),
            host,
            pid,
        }
    }
}

/// When a process began, where it runs: the 22nd field of its line.
fn process(pid: u32) -> Option<String> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // the name before may hold blanks and parentheses
    let mut fields = line.rsplit_once(')')?.1.split_ascii_whitespace();
    let ended = matches!(fields.next()?, "Z" | "X");
    fields.nth(18).filter(|_| !ended).map(str::to_owned)
}

/// `2001-09-28T12:00:00Z`; seconds since 1970 that no calendar has are said as they are.
pub fn utc(unix: u64) -> String {
    let time = i64::try_from(unix).ok().and_then(|it| jiff::Timestamp::from_second(it).ok());
    time.map_or_else(|| format!("{unix} s after 1970"), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_civil() {
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(utc(1_001_678_400 + 59), "2001-09-28T12:00:59Z");
        assert_eq!(utc(u64::MAX), "18446744073709551615 s after 1970");
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("locks/quickstart.lock");
        (dir, path)
    }

    fn take(path: &Path) -> Result<Lock> {
        Lock::take(path, Path::new("runs/quickstart"))
    }

    #[test]
    fn a_held_lock_is_refused_with_host_and_process_and_free_afterwards() {
        let (_dir, path) = folder();
        let lock = take(&path).unwrap();
        let error = take(&path).unwrap_err();
        let said = error.to_string();
        let process = format!("is in use by another run: process {} on ", std::process::id());
        assert!(said.starts_with("runs/quickstart ") && said.contains(&process), "{said}");
        assert!(error.hint().unwrap().contains("quickstart.lock"));
        drop(lock);
        assert!(!path.exists());
        drop(take(&path).unwrap());
    }

    fn write(path: &Path, holder: &Holder, silent_for: Duration) {
        files::write_json(path, holder).unwrap();
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - silent_for).unwrap();
    }

    #[test]
    fn a_process_that_ended_holds_nothing() {
        let (_dir, path) = folder();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        write(&path, &Holder { pid, ..Holder::this() }, Duration::ZERO);
        let lock = take(&path).unwrap();
        drop(lock);
        // the same number, given to another process since
        let process = Some("1".to_owned());
        write(&path, &Holder { process, ..Holder::this() }, Duration::ZERO);
        drop(take(&path).unwrap());
    }

    #[test]
    fn a_lock_is_looked_at_without_being_taken() {
        let (_dir, path) = folder();
        assert!(Holding::of(&path).unwrap().is_none());
        let lock = take(&path).unwrap();
        let holding = Holding::of(&path).unwrap().unwrap();
        assert!(holding.is_alive() && holding.pid == std::process::id());
        drop(lock);
        let other = Holder { machine: Some("another boot".to_owned()), ..Holder::this() };
        write(&path, &other, SILENCE + SIGN);
        assert!(!Holding::of(&path).unwrap().unwrap().is_alive());
        // its clock, or ours, was set back
        let later = OpenOptions::new().write(true).open(&path).unwrap();
        later.set_modified(SystemTime::now() + SILENCE * 9).unwrap();
        assert!(Holding::of(&path).unwrap().unwrap().is_alive());
    }

    #[test]
    fn another_machine_is_believed_while_it_gives_signs() {
        let (_dir, path) = folder();
        let other = Holder {
            host: "n17".to_owned(),
            machine: Some("another boot".to_owned()),
            ..Holder::this()
        };
        write(&path, &other, SILENCE / 2);
        let said = take(&path).unwrap_err().to_string();
        assert!(said.contains(" on n17, since "), "{said}");
        write(&path, &other, SILENCE + SIGN);
        drop(take(&path).unwrap());
        // a file that says nothing, as a machine that went down may leave it
        files::write_atomic(&path, b"").unwrap();
        assert!(take(&path).is_err());
    }

    #[test]
    fn a_lock_that_was_taken_over_is_known_to_be_lost_and_stays() {
        let (_dir, path) = folder();
        let lock = take(&path).unwrap();
        assert!(give_sign(&path, &lock.holder));
        let other = Holder { token: "another".to_owned(), ..lock.holder.clone() };
        files::write_json(&path, &other).unwrap();
        assert!(!give_sign(&path, &lock.holder));
        drop(lock);
        assert_eq!(holder_of(&path), Some(other));
    }

    #[test]
    fn who_is_alone_is_known_and_locks_of_the_dead_are_removed() {
        let (_dir, path) = folder();
        let lock = take(&path).unwrap();
        assert!(lock.is_alone().unwrap());
        let beside = path.with_file_name("other.lock");
        let other = take(&beside).unwrap();
        assert!(!lock.is_alone().unwrap());
        drop(other);
        write(&beside, &Holder { process: None, ..Holder::this() }, Duration::ZERO);
        assert!(lock.is_alone().unwrap() && !beside.exists());
    }
}
