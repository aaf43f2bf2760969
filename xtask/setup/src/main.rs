//! `cargo xtask`: `setup`, `test` and `extra` are done here, without compiling anything else for them;
//! every other chore is in the package `xtask`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((chore, [])) if chore == "setup" => setup::setup(),
        Some((chore, rest)) if chore == "test" => setup::test(rest),
        Some((chore, names)) if chore == "extra" && !asks_for_help(names) => setup::extra(names),
        _ => setup::cargo(&["run", "--quiet", "--package", "xtask", "--"], &arguments),
    }
}

/// Help is written by the package `xtask`, which knows every chore.
fn asks_for_help(names: &[String]) -> bool {
    names.iter().any(|name| name.starts_with('-'))
}
