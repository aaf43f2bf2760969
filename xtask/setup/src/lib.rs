//! What a build needs beside Rust: said, and fetched where it may be; and the checks that need more
//! than Rust.
//!
//! No dependencies, so that it runs before anything that needs them is built.

mod extra;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

pub use extra::extra;

/// The folder that holds `Cargo.lock`, from where this program was built.
fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("two folders below it").to_path_buf()
}

/// `cargo xtask setup`: a line for each tool; exit 2 where one is missing and cannot be fetched.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the lines are what it is for")]
pub fn setup() -> ExitCode {
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let Some(found) = first_line(Command::new(&compiler).arg("--version")) else {
        eprintln!("error: there is no C compiler `{compiler}`; install one (Debian: gcc)");
        return ExitCode::from(2);
    };
    println!("C compiler  {found}");
    let cmake =
        std::env::var_os("CMAKE").map_or_else(|| repository().join(".cargo/cmake"), Into::into);
    match Command::new(&cmake).arg("--version").stderr(Stdio::piped()).output() {
        Ok(output) if output.status.success() => {
            println!("cmake       {}", line_of(&output.stdout));
            println!("make        {}", maker());
            ExitCode::SUCCESS
        }
        Ok(output) => {
            eprintln!("error: {}", String::from_utf8_lossy(&output.stderr).trim_end());
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("error: {}: {error}", cmake.display());
            ExitCode::from(2)
        }
    }
}

/// `cargo xtask test`: setup, then `cargo test --workspace` with the arguments that are left.
pub fn test(arguments: &[String]) -> ExitCode {
    if setup() != ExitCode::SUCCESS {
        return ExitCode::from(2);
    }
    cargo(&["test", "--workspace"], arguments)
}

/// Runs cargo in the repository and ends as it does.
#[expect(clippy::print_stderr, reason = "a chore speaks to the terminal")]
pub fn cargo(first: &[&str], then: &[String]) -> ExitCode {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    match Command::new(cargo).args(first).args(then).status() {
        Ok(status) => ExitCode::from(status.code().map_or(1, |code| code as u8)),
        Err(error) => {
            eprintln!("error: cargo cannot be run: {error}");
            ExitCode::from(2)
        }
    }
}

/// What cmake will build with.
fn maker() -> String {
    let system = ["make", "ninja"].into_iter().find_map(|name| {
        let found = first_line(Command::new(name).arg("--version"))?;
        Some(if name == "ninja" { format!("ninja {found}") } else { found })
    });
    system.unwrap_or_else(|| "ninja from PyPI".to_owned())
}

fn first_line(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| line_of(&output.stdout))
}

fn line_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).lines().next().unwrap_or_default().to_owned()
}
