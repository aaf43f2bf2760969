//! Licences and sources of everything that is linked, by cargo-deny and `deny.toml`. The database of advisories lies
//! on the network: `cargo deny check advisories` asks it.

use std::process::Command;

use super::{
    Check,
    environment::{Environment, output},
    need::Need,
};

const REQUIREMENTS: &str = "xtask/setup/cargo-deny.txt";

pub(super) const CHECK: Check =
    Check { name: "deny", needs: &[Need::Command("python3"), Need::Python(REQUIREMENTS)], run };

fn run(environment: &Environment) -> Result<(), String> {
    let mut deny = Command::new(environment.python_program(REQUIREMENTS, "cargo-deny"));
    deny.args(["--locked", "check", "--hide-inclusion-graph"]);
    output(deny.args(["licenses", "bans", "sources"]).current_dir(environment.root()))
}
