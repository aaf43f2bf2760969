//! A job array of a real Slurm beside a local run: `cargo xtask slurm`.

use std::process::Command;

use super::{
    Check,
    environment::{Environment, output},
    need::Need,
};

pub(super) const CHECK: Check = Check {
    name: "slurm",
    needs: &[
        Need::Package("slurm-wlm", &["slurmctld", "slurmd", "sbatch", "squeue", "scontrol"]),
        Need::Package("munge", &["munged"]),
    ],
    run,
};

fn run(environment: &Environment) -> Result<(), String> {
    // the chore runs the program that lies beside it
    environment.neuroflamingo()?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    output(Command::new(cargo).args(["xtask", "slurm"]).current_dir(environment.root()))
}
