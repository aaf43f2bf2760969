//! The chores, as a program.

fn main() -> anyhow::Result<()> {
    xtask::run()
}
