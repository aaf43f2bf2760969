//! Derivatives of the bundled cohort, as the BIDS validator, pybids, nilearn and pandas read them; and the pipeline
//! as Nipoppy loads it.

use std::{fs, path::Path, process::Command};

use super::{
    Check,
    environment::{Environment, output},
    need::Need,
};

const REQUIREMENTS: &str = "xtask/setup/bids.txt";
const PIPELINE: &str = "pipelines/encode-cohort.yaml";
const DATASET: &str = "fixtures/synthetic/bids";
const PEOPLE: [&str; 3] = ["01", "02", "03"];

pub(super) const CHECK: Check =
    Check { name: "bids", needs: &[Need::Command("python3"), Need::Python(REQUIREMENTS)], run };

fn run(environment: &Environment) -> Result<(), String> {
    let program = environment.neuroflamingo()?;
    let folder = environment.folder("bids");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|it| format!("{}: {it}", folder.display()))?;
    }
    let derivatives = folder.join("derivatives");
    for level in ["participant", "group"] {
        let mut call = Command::new(&program);
        call.current_dir(environment.root()).arg(DATASET).arg(&derivatives).arg(level);
        call.args(["--config", PIPELINE, "--participant-label"]).args(PEOPLE);
        output(&mut call)?;
    }
    let errors = errors(environment, &derivatives)?;
    if !errors.is_empty() {
        return Err(format!("the validator finds\n{}", errors.join("\n")));
    }
    // without the list of what BIDS has no rule for, exactly that is found
    fs::remove_file(derivatives.join(".bidsignore")).map_err(|it| it.to_string())?;
    compare("derivatives without .bidsignore", environment, &derivatives, "derivatives.txt")?;
    compare(DATASET, environment, &environment.root().join(DATASET), "fixture.txt")?;
    let script = environment.root().join("xtask/setup/src/extra/bids/nipoppy_bundle.py");
    let mut bundle = Command::new(environment.python_program(REQUIREMENTS, "python"));
    output(bundle.arg(script).arg(environment.root().join("configs/nipoppy")))?;
    let mut read = Command::new(environment.python_program(REQUIREMENTS, "python"));
    let script = environment.root().join("xtask/setup/src/extra/bids/read.py");
    output(read.arg(script).arg(&derivatives).arg(environment.root().join(DATASET)))
}

/// Errors of the validator must be those of a list in the repository.
fn compare(
    what: &str,
    environment: &Environment,
    dataset: &Path,
    list: &str,
) -> Result<(), String> {
    let path = environment.root().join("xtask/setup/src/extra/bids").join(list);
    let expected =
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let found = errors(environment, dataset)?.join("\n") + "\n";
    if found == expected || (found == "\n" && expected.is_empty()) {
        return Ok(());
    }
    Err(format!("{what}: the validator finds\n{found}and {list} expects\n{expected}"))
}

/// `CODE path` of each error, with `NN` for the number of a subject, sorted, each once.
fn errors(environment: &Environment, dataset: &Path) -> Result<Vec<String>, String> {
    let script = environment.root().join("xtask/setup/src/extra/bids/errors.py");
    let mut list = Command::new(environment.python_program(REQUIREMENTS, "python"));
    list.arg(script).arg(environment.python_program(REQUIREMENTS, "bids-validator-deno"));
    list.arg(dataset);
    let said = list.output().map_err(|error| format!("errors.py: {error}"))?;
    if !said.status.success() {
        return Err(String::from_utf8_lossy(&said.stderr).into_owned());
    }
    Ok(String::from_utf8_lossy(&said.stdout).lines().map(str::to_owned).collect())
}
