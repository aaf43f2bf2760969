//! `cargo xtask`: `setup` and `test` are done here, before anything heavy is compiled; every other
//! chore is the business of the package `xtask`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((chore, [])) if chore == "setup" => setup::setup(),
        Some((chore, rest)) if chore == "test" => setup::test(rest),
        _ => setup::cargo(&["run", "--quiet", "--package", "xtask", "--"], &arguments),
    }
}
