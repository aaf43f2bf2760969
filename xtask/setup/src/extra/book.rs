//! The book of `docs/`, built by mdBook: `cargo xtask docs`.

use std::process::Command;

use super::{
    Check,
    environment::{Environment, output},
    need::Need,
};

const REQUIREMENTS: &str = "xtask/setup/mdbook.txt";

pub(super) const CHECK: Check =
    Check { name: "book", needs: &[Need::Command("python3"), Need::Python(REQUIREMENTS)], run };

fn run(environment: &Environment) -> Result<(), String> {
    let program = environment.neuroflamingo()?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut docs = Command::new(cargo);
    docs.args(["xtask", "docs", "--mdbook"]);
    docs.arg(environment.python_program(REQUIREMENTS, "mdbook"));
    docs.arg("--program").arg(program).current_dir(environment.root());
    output(&mut docs)
}
