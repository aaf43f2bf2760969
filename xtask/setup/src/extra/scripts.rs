//! The scripts for Slurm, as `shellcheck` reads them.

use std::{fs, process::Command};

use super::{
    Check,
    environment::{Environment, output},
    need::Need,
};

const REQUIREMENTS: &str = "xtask/setup/shellcheck.txt";

pub(super) const CHECK: Check =
    Check { name: "scripts", needs: &[Need::Command("python3"), Need::Python(REQUIREMENTS)], run };

fn run(environment: &Environment) -> Result<(), String> {
    let program = environment.neuroflamingo()?;
    let folder = environment.folder("scripts");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|it| format!("{}: {it}", folder.display()))?;
    }
    let mut submit = Command::new(program);
    submit.current_dir(environment.root());
    submit.args(["submit", "slurm", "pipelines/encode-cohort.yaml", "--print"]);
    submit.args(["--site", "configs/cluster/slurm.yaml", "--set"]);
    submit.arg(format!("outputs={}", folder.display()));
    output(&mut submit)?;
    let mut shellcheck = Command::new(environment.python_program(REQUIREMENTS, "shellcheck"));
    let scripts = folder.join("encode-cohort/slurm/1");
    // variables that Slurm sets, a function that a trap calls, and matters of taste
    shellcheck.args(["--enable=all", "--exclude=SC2154,SC2250,SC2292,SC2312,SC2329"]);
    shellcheck.args(["task.sbatch", "gather.sbatch"].map(|name| scripts.join(name)));
    shellcheck.stderr(std::process::Stdio::piped());
    match shellcheck.output() {
        Ok(said) if said.status.success() => Ok(()),
        Ok(said) => Err(String::from_utf8_lossy(&said.stdout).into_owned()),
        Err(error) => Err(format!("shellcheck: {error}")),
    }
}
