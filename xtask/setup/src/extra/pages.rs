//! Pages of two small runs in a real browser, with what axe-core says of them.

use std::{fs, path::Path, process::Command};

use super::{
    Check,
    environment::{Environment, output},
    need::Need,
};

/// Of npm, as they were when the check was written.
const PACKAGES: [&str; 2] = ["axe-core@4.14.1", "puppeteer-core@24.43.1"];
const COHORT: &str = "pipelines/compose-cohort.yaml";
const QUICKSTART: &str = "pipelines/quickstart-short.yaml";

pub(super) const CHECK: Check = Check {
    name: "pages",
    needs: &[Need::Command("chromium"), Need::Command("node"), Need::Command("npm")],
    run,
};

fn run(environment: &Environment) -> Result<(), String> {
    let program = environment.neuroflamingo()?;
    let folder = environment.folder("pages");
    let (runs, modules) = (folder.join("runs"), folder.join("npm"));
    let screenshots = folder.join("screenshots");
    for folder in [&runs, &modules, &screenshots] {
        fs::create_dir_all(folder).map_err(|it| format!("{}: {it}", folder.display()))?;
    }
    let mut install = Command::new("npm");
    install.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]);
    output(install.arg(&modules).args(PACKAGES))?;

    let cohort = rendered(environment, &folder)?;
    for pipeline in [cohort.as_path(), &environment.root().join(QUICKSTART)] {
        let mut call = Command::new(&program);
        call.arg("run").arg(pipeline).arg("--set").arg(format!("outputs={}", runs.display()));
        output(&mut call)?;
    }
    let mut open = Command::new("node");
    open.arg(environment.root().join("xtask/setup/src/extra/pages.mjs"));
    open.arg("chromium").arg(&modules).arg(&screenshots);
    open.args(["compose-cohort/index.html", "compose-cohort/sub-01.html"].map(|it| runs.join(it)));
    open.args(
        ["quickstart-short/index.html", "quickstart-short/sub-1.html"].map(|it| runs.join(it)),
    );
    output(&mut open)
}

/// The bundled cohort with its pages, as a pipeline file of its own.
fn rendered(environment: &Environment, folder: &Path) -> Result<std::path::PathBuf, String> {
    let fixtures = environment.root().join("fixtures").display().to_string();
    let text = fs::read_to_string(environment.root().join(COHORT)).map_err(|it| it.to_string())?;
    let text: Vec<String> = text
        .lines()
        .map(|line| match line {
            line if line.trim_start().starts_with("- compose:") => {
                "  - render: { people: true }".to_owned()
            }
            line => line.replace("../fixtures", &fixtures),
        })
        .collect();
    let path = folder.join("compose-cohort.yaml");
    fs::write(&path, text.join("\n") + "\n").map_err(|it| it.to_string())?;
    Ok(path)
}
