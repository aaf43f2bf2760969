//! The map of ARCHITECTURE.md, held: who may depend on whom, and who may use what.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Each crate with the crates of ours that it may depend on.
const MAY_USE: &[(&str, &[&str])] = &[
    ("formats", &[]),
    ("kernels", &[]),
    ("files", &["formats"]),
    ("config", &["files"]),
    ("engine", &["files"]),
    ("tables", &["formats"]),
    ("harmonise", &[]),
    ("scan", &["files", "formats"]),
    ("cohort", &["files", "scan", "tables"]),
    ("nn", &["formats", "kernels"]),
    ("encoder", &["files", "formats", "nn", "scan"]),
    ("lm", &["formats", "nn"]),
    ("flamingo", &["encoder", "files", "formats", "lm", "nn"]),
    ("train", &["encoder", "files", "flamingo", "kernels", "lm", "nn"]),
    ("report", &["scan"]),
    ("preprocess", &["cohort", "encoder", "engine", "files", "flamingo", "scan", "tables"]),
    ("pages", &["report"]),
    (
        "pipeline",
        &[
            "cohort",
            "config",
            "encoder",
            "engine",
            "files",
            "flamingo",
            "harmonise",
            "preprocess",
            "pages",
            "report",
            "scan",
            "tables",
            "train",
        ],
    ),
    ("cli", &["pipeline"]),
];

/// Packages from outside with the crates that may use them, beside tests and xtask.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("candle-core", &["encoder", "flamingo", "lm", "nn", "train"]),
    ("candle-nn", &["encoder", "flamingo", "lm", "nn", "train"]),
    ("candle-transformers", &[]),
    ("tokenizers", &["lm"]),
    ("clap", &["cli"]),
    ("anyhow", &["cli"]),
    ("indicatif", &["cli"]),
    ("tracing-subscriber", &["cli"]),
    ("hdf5-metno", &["scan"]),
    ("nifti", &["scan"]),
    ("base64", &["pages", "report", "scan"]),
    ("png", &["encoder", "pages", "report"]),
    ("polars", &["tables"]),
    ("sha2", &["files"]),
    // the pipeline files, and the manifest of a model package
    ("serde-saphyr", &["config", "flamingo"]),
];

/// Name, directory and normal dependencies of each workspace member.
fn members() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let metadata = MetadataCommand::new().no_deps().exec().expect("cargo metadata runs");
    let packages = metadata.packages.iter().map(|package| {
        let normal = package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal);
        let directory = package.manifest_path.parent().and_then(|dir| dir.file_name());
        let directory = directory.expect("a manifest lies in a directory").to_owned();
        (package.name.to_string(), (directory, normal.map(|d| d.name.clone()).collect()))
    });
    packages.collect()
}

fn is_tool(name: &str) -> bool {
    ["setup", "tests", "xtask"].contains(&name)
}

#[test]
fn crates_import_only_downwards() {
    let members = members();
    for (name, (_, dependencies)) in members.iter().filter(|(name, _)| !is_tool(name)) {
        let allowed = MAY_USE.iter().find(|(known, _)| known == name);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("crate `{name}` is not on the map"));
        for dependency in dependencies.iter().filter(|d| members.contains_key(*d)) {
            assert!(
                allowed.contains(&dependency.as_str()),
                "{name} must not depend on {dependency}"
            );
        }
    }
}

#[test]
fn outside_packages_stay_in_their_crates() {
    for (name, (_, dependencies)) in members().iter().filter(|(name, _)| !is_tool(name)) {
        for (package, users) in ONLY_IN {
            assert!(
                !dependencies.contains(*package) || users.contains(&name.as_str()),
                "{name} must not use {package}"
            );
        }
    }
}

#[test]
fn a_crates_directory_has_its_name() {
    for (name, (directory, _)) in members() {
        assert_eq!(name, directory);
    }
}

#[test]
fn no_source_file_is_longer_than_a_sitting() {
    fn walk(folder: &std::path::Path, long: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).expect("a folder of the workspace").flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, long);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let lines = std::fs::read_to_string(&path).expect("a source file").lines().count();
                if lines > 800 {
                    long.push(format!("{}: {lines} lines", path.display()));
                }
            }
        }
    }
    let mut long = Vec::new();
    for folder in ["crates", "tests", "xtask"] {
        walk(&tests::root().join(folder), &mut long);
    }
    assert!(long.is_empty(), "{long:#?}");
}
