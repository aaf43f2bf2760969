//! The chores, as a program.

fn main() -> anyhow::Result<std::process::ExitCode> {
    xtask::run()
}
