//! `cargo xtask containers`: the definitions of the container images, from one list of commands.
//!
//! An image is built in two stages: the program with a compiler, and then a small system with the program alone.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};

/// The system of both stages.
const SYSTEM: &str = "debian:bookworm-slim";

/// What the build reads of the repository.
const SOURCES: &[&str] =
    &[".cargo", "Cargo.toml", "Cargo.lock", "LICENSE", "NOTICE", "crates", "tests", "xtask"];

/// Where they lie in the image.
const FOLDER: &str = "/source";

/// The program, in both stages.
const PROGRAM: &str = "/usr/local/bin/neuroflamingo";

/// A C compiler and make for HDF5, python3 with pip for the cmake that it needs, and what fetches Rust.
const PACKAGES: &str = "ca-certificates curl gcc libc6-dev make python3 python3-pip";

/// Commands of the first stage; `RUST` is the version that the workspace asks for.
const BUILD: &[&str] = &[
    "apt-get update",
    "apt-get install --yes --no-install-recommends PACKAGES",
    "curl --proto =https --tlsv1.2 --silent --show-error --fail https://sh.rustup.rs -o /tmp/rustup.sh",
    "sh /tmp/rustup.sh -y --no-modify-path --profile minimal --default-toolchain RUST",
    "cd FOLDER && \"$HOME/.cargo/bin/cargo\" xtask setup",
    "cd FOLDER && \"$HOME/.cargo/bin/cargo\" build --release --locked --package cli",
    "install -D FOLDER/target/release/neuroflamingo PROGRAM",
];

/// Commands of the second stage: the image is good if the program starts in it.
const CHECK: &str = "PROGRAM --version";

/// Every definition: its file, and its text.
pub fn definitions(root: &Path) -> Result<Vec<(&'static str, String)>> {
    let manifest = fs::read_to_string(root.join("Cargo.toml")).context("Cargo.toml")?;
    let of = |key: &str| {
        let start = format!("{key} = \"");
        let line = manifest.lines().find_map(|line| line.strip_prefix(&start));
        line.and_then(|it| it.split('"').next()).with_context(|| format!("Cargo.toml: no {key}"))
    };
    let (rust, licence) = (of("rust-version")?, of("license")?);
    let filled = |text: &str| {
        text.replace("PACKAGES", PACKAGES)
            .replace("PROGRAM", PROGRAM)
            .replace("FOLDER", FOLDER)
            .replace("RUST", rust)
    };
    let build: Vec<String> = BUILD.iter().map(|it| filled(it)).collect();
    Ok(vec![
        ("configs/containers/apptainer.def", apptainer(&build, &filled(CHECK), licence)),
        ("configs/containers/Dockerfile", docker(&build, &filled(CHECK), licence)),
    ])
}

/// Writes them.
pub(crate) fn write(root: &Path) -> Result<()> {
    for (path, text) in definitions(root)? {
        let path = root.join(path);
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn apptainer(build: &[String], check: &str, licence: &str) -> String {
    let mut text = format!(
        "# Written by `cargo xtask containers`. From the top of the repository:\n\
         #   apptainer build neuroflamingo.sif configs/containers/apptainer.def\n\
         Bootstrap: docker\nFrom: {SYSTEM}\nStage: build\n\n%files\n"
    );
    for source in SOURCES {
        let _ = writeln!(text, "    {source} {FOLDER}/{source}");
    }
    text.push_str("\n%post\n    set -eu\n    export HOME=/root\n");
    for command in build {
        let _ = writeln!(text, "    {}", alone(command));
    }
    let _ = write!(
        text,
        "\nBootstrap: docker\nFrom: {SYSTEM}\nStage: run\n\n%files from build\n    {PROGRAM} {PROGRAM}\n\n\
         %post\n    {check}\n\n%runscript\n    exec {PROGRAM} \"$@\"\n\n%test\n    {check}\n\n\
         %labels\n    org.opencontainers.image.title neuroflamingo\n    org.opencontainers.image.licenses {licence}\n"
    );
    text
}

/// A command that changes the folder changes it for itself.
fn alone(command: &str) -> String {
    if command.starts_with("cd ") { format!("({command})") } else { command.to_owned() }
}

fn docker(build: &[String], check: &str, licence: &str) -> String {
    let mut text = format!(
        "# Written by `cargo xtask containers`. From the top of the repository:\n\
         #   docker build --tag neuroflamingo --file configs/containers/Dockerfile .\n\
         FROM {SYSTEM} AS build\n"
    );
    for source in SOURCES {
        let _ = writeln!(text, "COPY {source} {FOLDER}/{source}");
    }
    for command in build {
        let _ = writeln!(text, "RUN {command}");
    }
    let _ = write!(
        text,
        "\nFROM {SYSTEM}\nCOPY --from=build {PROGRAM} {PROGRAM}\nRUN {check}\n\
         LABEL org.opencontainers.image.title=\"neuroflamingo\" org.opencontainers.image.licenses=\"{licence}\"\n\
         ENTRYPOINT [\"{PROGRAM}\"]\n"
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_definitions_are_those_of_the_list() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for (path, text) in definitions(&root).unwrap() {
            let committed = fs::read_to_string(root.join(path)).unwrap();
            assert!(committed == text, "{path}: run `cargo xtask containers`");
        }
        for source in SOURCES {
            assert!(root.join(source).exists(), "{source}");
        }
    }

    #[test]
    fn both_definitions_run_every_command() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for (path, text) in definitions(&root).unwrap() {
            for command in
                ["apt-get install", "rustup.sh -y", "build --release --locked", "install -D"]
            {
                assert_eq!(text.matches(command).count(), 1, "{path}: {command}");
            }
            assert!(
                !["PACKAGES", "FOLDER", "PROGRAM", "RUST"].iter().any(|it| text.contains(it)),
                "{text}"
            );
        }
    }

    #[test]
    fn what_wrappers_are_told_is_of_this_version() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let version = env!("CARGO_PKG_VERSION");
        let read = |path: &str| fs::read_to_string(root.join("configs").join(path)).unwrap();
        for (file, key) in [("config.json", "VERSION"), ("descriptor.json", "tool-version")] {
            let json: serde_json::Value =
                serde_json::from_str(&read(&format!("nipoppy/{file}"))).unwrap();
            assert_eq!(json[key], version, "configs/nipoppy/{file}");
        }
        let babs: serde_json::Value =
            serde_yaml::from_str(&read("babs/neuroflamingo.yaml")).unwrap();
        assert_eq!(babs["zip_foldernames"]["neuroflamingo"], version.replace('.', "-"));
    }
}
