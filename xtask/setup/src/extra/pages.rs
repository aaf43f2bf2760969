//! Pages of two small runs in a real browser, from their files and from the server, with what axe-core says of them.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

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
    let shown = [
        ("compose-cohort", ["index.html", "sub-01.html"]),
        ("quickstart-short", ["index.html", "sub-1.html"]),
    ];
    let mut open = Command::new("node");
    open.arg(environment.root().join("xtask/setup/src/extra/pages.mjs"));
    open.arg("chromium").arg(&modules).arg(&screenshots);
    for (run, pages) in &shown {
        open.args(pages.map(|it| runs.join(run).join(it)));
    }
    let mut servers = Vec::new();
    for (run, pages) in &shown {
        let server = Server::start(&program, &runs.join(run))?;
        open.arg("--").arg(&server.address).args(pages);
        servers.push(server);
    }
    output(&mut open)
}

/// A server of a run, ended with the value.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(program: &Path, run: &Path) -> Result<Self, String> {
        let mut serve = Command::new(program);
        serve.arg("serve").arg(run).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = serve.spawn().map_err(|it| format!("{}: {it}", program.display()))?;
        let mut address = String::new();
        let stdout = child.stdout.as_mut().ok_or("a pipe that was asked for")?;
        let read = BufReader::new(stdout).read_line(&mut address);
        let server = Self { child, address: address.trim().to_owned() };
        match read {
            Ok(n) if n > 0 => Ok(server),
            _ => Err(format!("{}: serve printed no address", run.display())),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // one that has ended already is no failure
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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
