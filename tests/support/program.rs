//! The real binary, run from the workspace's root.

use std::{
    fmt,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::LazyLock,
    time::Duration,
};

use crate::root;

/// A command that takes longer than this hangs.
const TIMEOUT: Duration = Duration::from_mins(10);

/// The binary under test, which cargo builds for the tests and names; `NEUROFLAMINGO` names another
/// one instead.
static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
    let named = ["NEUROFLAMINGO", "CARGO_BIN_EXE_neuroflamingo"].map(std::env::var_os);
    let named = named.into_iter().flatten().next();
    named.expect("cargo names the binary; without cargo set NEUROFLAMINGO").into()
});

/// Where the binary is.
pub fn program() -> &'static Path {
    &PROGRAM
}

/// The program without arguments, at the workspace's root, as if nobody watched.
fn neuroflamingo() -> assert_cmd::Command {
    let mut command = assert_cmd::Command::new(program());
    command.current_dir(root()).timeout(TIMEOUT).write_stdin("").env_remove("COLUMNS");
    // a sentence stays one where a developer asks panics for their stack
    command.env("RUST_BACKTRACE", "1");
    command
}

/// Runs the program with these words.
pub fn run(args: &[&str]) -> Ran {
    let output = neuroflamingo().args(args).output().expect("the program runs");
    let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Runs the program with these words, and sends it `signal` when it says `moment` on stderr.
pub fn run_until(args: &[&str], moment: &str, signal: &str) -> Ran {
    let mut command = Command::new(program());
    command.args(args).current_dir(root()).stdin(Stdio::null());
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("the program runs");
    let mut stderr = String::new();
    for line in BufReader::new(child.stderr.take().expect("it is piped")).lines() {
        let line = line.expect("the program writes UTF-8");
        if line.contains(moment) {
            // a shell's own command: a small system has no program of that name
            let kill = format!("kill -s {signal} {}", child.id());
            let sent = Command::new("sh").args(["-c", &kill]).status();
            assert!(sent.expect("a shell runs").success());
        }
        stderr.push_str(&line);
        stderr.push('\n');
    }
    assert!(stderr.contains(moment), "it never said {moment:?}\n{stderr}");
    let code = child.wait().expect("the program ends").code();
    Ran { code, stdout: String::new(), stderr }
}

/// What a run of the program left behind; its text is what snapshots hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// The exit code; none after a signal.
    pub code: Option<i32>,
    /// Data.
    pub stdout: String,
    /// Everything else.
    pub stderr: String,
}

impl Ran {
    /// What it said, which must be one error, no chain of them and no stack.
    pub fn one_error(&self) -> String {
        let errors = self.stderr.lines().filter(|line| line.starts_with("error: ")).count();
        let chain = ["caused by", "\n   0: "].iter().any(|part| self.stderr.contains(part));
        assert!(errors == 1 && !chain, "{self}");
        self.stderr.clone()
    }

    /// With `path` called `name`.
    #[must_use]
    pub fn naming(mut self, path: &Path, name: &str) -> Self {
        let path = path.display().to_string();
        self.stdout = self.stdout.replace(&path, name);
        self.stderr = self.stderr.replace(&path, name);
        self
    }

    /// Panics with everything that was said, unless the exit code is `code`.
    pub fn exits_with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "\n{self}");
        self
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => writeln!(f, "exit code {code}")?,
            None => writeln!(f, "ended by a signal")?,
        }
        write!(f, "----- stdout\n{}----- stderr\n{}", self.stdout, self.stderr)
    }
}

/// Fails unless a text holds all of these.
pub fn says(said: &str, expected: &[&str]) {
    for expected in expected {
        assert!(said.contains(expected), "{expected:?} is not in {said}");
    }
}
