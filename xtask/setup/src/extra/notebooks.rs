//! Executes the notebooks over run folders: the short quickstart, and one cohort by two encoders.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    Check,
    environment::{Environment, output},
    need::Need,
};

const REQUIREMENTS: &str = "notebooks/requirements.txt";
/// The runs that the notebooks read: pipeline, name, and another setting.
const RUNS: [(&str, &str, &str); 3] = [
    ("pipelines/quickstart-short.yaml", "quickstart", "seed=1"),
    ("pipelines/encode-cohort.yaml", "encode-connectivity", "seed=1"),
    (
        "pipelines/encode-cohort.yaml",
        "encode-brainlm",
        "model.encoder={file: ../configs/encoder/brainlm_synthetic_v1.yaml}",
    ),
];
/// Seconds that a cell may take.
const CELL_LIMIT_S: &str = "300";

pub(super) const CHECK: Check = Check {
    name: "notebooks",
    needs: &[Need::Command("python3"), Need::Python(REQUIREMENTS)],
    run,
};

fn run(environment: &Environment) -> Result<(), String> {
    let program = environment.neuroflamingo()?;
    // notebooks name `../runs` and `../fixtures`: here these are short runs, and a link
    let folder = environment.folder("notebooks");
    let copies = copy_notebooks(environment.root(), &folder)
        .map_err(|error| format!("{}: {error}", folder.display()))?;
    for (pipeline, name, setting) in RUNS {
        let mut run = Command::new(&program);
        run.current_dir(environment.root()).args(["run", pipeline, "--set", setting, "--set"]);
        run.arg(format!("name={name}"));
        run.arg("--set").arg(format!("outputs={}", folder.join("runs").display()));
        output(&mut run)?;
    }
    for copy in copies {
        let mut execute = Command::new(environment.python_program(REQUIREMENTS, "jupyter-execute"));
        execute.arg("--timeout").arg(CELL_LIMIT_S).arg(&copy);
        // its settings and caches stay out of the home folder
        for name in ["IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR"] {
            execute.env(name, folder.join("settings").join(name));
        }
        execute.env("JUPYTER_PREFER_ENV_PATH", "1");
        output(&mut execute).map_err(|error| format!("{}: {error}", copy.display()))?;
    }
    Ok(())
}

fn copy_notebooks(root: &Path, folder: &Path) -> io::Result<Vec<PathBuf>> {
    // the results of another build are no run of this one
    for old in ["notebooks", "runs"].map(|name| folder.join(name)) {
        if old.exists() {
            fs::remove_dir_all(old)?;
        }
    }
    let copies = folder.join("notebooks");
    fs::create_dir_all(&copies)?;
    let fixtures = folder.join("fixtures");
    if fixtures.symlink_metadata().is_ok() {
        fs::remove_file(&fixtures)?;
    }
    symlink(root.join("fixtures"), fixtures)?;
    let mut notebooks = Vec::new();
    for entry in fs::read_dir(root.join("notebooks"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "ipynb") {
            let copy = copies.join(path.file_name().unwrap_or_default());
            fs::copy(&path, &copy)?;
            notebooks.push(copy);
        }
    }
    notebooks.sort();
    Ok(notebooks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_notebook_is_copied_beside_the_fixtures() {
        let folder = std::env::temp_dir().join(format!("notebooks-{}", std::process::id()));
        let root = crate::repository();
        for _again in 0..2 {
            let copies = copy_notebooks(&root, &folder).unwrap();
            let names = ["compare-encoders.ipynb", "quickstart.ipynb"];
            assert_eq!(copies, names.map(|name| folder.join("notebooks").join(name)));
            assert!(folder.join("notebooks/../fixtures/haxby2001/pairs.csv").is_file());
        }
        fs::remove_dir_all(folder).unwrap();
        assert!(root.join("fixtures/haxby2001/pairs.csv").is_file());
    }
}
