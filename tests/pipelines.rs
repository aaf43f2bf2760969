//! Every shipped YAML file is read, every shipped pipeline can start, and the schema is current.

use std::path::PathBuf;

use serde_json::Value;
use tests::{files_below, root, run};

/// What `--set` calls the component that a folder of `configs/` holds.
const COMPONENTS: [(&str, &str); 6] = [
    ("encoder", "model.encoder"),
    ("gates", "model.gates"),
    ("report", "stages.compose.report"),
    ("resampler", "model.resampler"),
    ("slots", "cohort.pairs.slots"),
    ("strategy", "stages"),
];

/// Pipelines over whole heads.
const SWAP: &str = "pipelines/swap-encoders.yaml";

/// A pipeline that composes reports.
const COMPOSE: &str = "pipelines/compose-cohort.yaml";

/// Each strategy with the digest of what it says; other numbers need another name.
const STRATEGIES: [(&str, &str); 1] =
    [("haxby_windows_v1", "c6dd923e81e9af6534f68c4030497577e5cb05d92a4e0ec8f489efc6cb138455")];

fn yaml_files(folder: &str) -> Vec<PathBuf> {
    let files: Vec<PathBuf> = files_below(&root().join(folder));
    let other = files.iter().find(|path| path.extension().is_none_or(|it| it != "yaml"));
    assert_eq!(other, None, "only YAML lies in {folder}");
    assert!(!files.is_empty(), "{folder} is empty");
    files
}

/// The files of `configs` that are parts of a pipeline; what Slurm is told is none, and the commands of
/// docs/clusters.md read it.
fn components() -> Vec<PathBuf> {
    let cluster = root().join("configs/cluster");
    yaml_files("configs").into_iter().filter(|path| !path.starts_with(&cluster)).collect()
}

/// What `check` says of a pipeline that can start.
fn plan(path: &str, sets: &[&str]) -> Value {
    let sets = sets.iter().flat_map(|set| ["--set", set]);
    let args: Vec<&str> = ["check", path, "--json"].into_iter().chain(sets).collect();
    serde_json::from_str(&run(&args).exits_with(0).stdout).expect("a plan is JSON")
}

#[test]
fn every_pipeline_plans_under_the_name_of_its_file() {
    for path in yaml_files("pipelines") {
        let plan = plan(&path.display().to_string(), &[]);
        let stem = path.file_stem().expect("a file has a name").to_string_lossy();
        let name = plan["name"].as_str().expect("a plan has a name");
        assert!(stem.ends_with(name), "{stem} is named {name}");
    }
}

#[test]
fn every_config_is_the_component_its_folder_names() {
    for path in components() {
        let inside = path.strip_prefix(root().join("configs")).expect("it lies in configs");
        let folder = inside.iter().next().expect("a path has a first part").to_string_lossy();
        let known = COMPONENTS.iter().find(|(name, _)| *name == folder);
        let (_, key) = known.unwrap_or_else(|| panic!("configs/{folder} is no known component"));
        let set = format!("{key}={{file: {}}}", path.display());
        // in the pipeline that names it: what fits whole heads does not fit the voxels of one slice
        let name = path.file_name().expect("a file has a name").to_string_lossy();
        let swaps = std::fs::read_to_string(root().join(SWAP)).expect("a pipeline is text");
        let pipeline = match &*folder {
            "report" => COMPOSE,
            _ if swaps.contains(&*name) => SWAP,
            _ => "pipelines/quickstart.yaml",
        };
        plan(pipeline, &[&set]);
    }
}

#[test]
fn a_named_strategy_is_never_redefined() {
    let files = yaml_files("configs/strategy");
    assert_eq!(files.len(), STRATEGIES.len(), "each strategy has a digest above");
    for (name, digest) in STRATEGIES {
        let file = root().join(format!("configs/strategy/{name}.yaml"));
        let text = std::fs::read_to_string(&file).expect("a strategy is text");
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        let said = files::sha256_bytes(lines.collect::<Vec<_>>().join("\n").as_bytes());
        assert_eq!(said, digest, "{name} says something else now: that is a new version");
    }
}

#[test]
fn every_config_is_used_by_a_pipeline() {
    let pipelines: String = yaml_files("pipelines")
        .iter()
        .map(|path| std::fs::read_to_string(path).expect("a pipeline is text"))
        .collect();
    for path in components() {
        let inside = path.strip_prefix(root()).expect("it lies in the workspace").display();
        assert!(pipelines.contains(&format!("../{inside}")), "{inside} is used by no pipeline");
    }
}

#[test]
fn every_yaml_file_names_its_schema() {
    for path in yaml_files("configs").into_iter().chain(yaml_files("pipelines")) {
        let text = std::fs::read_to_string(&path).expect("YAML is text");
        let line = text.lines().find_map(|line| line.split_once("$schema="));
        let (_, schema) = line.unwrap_or_else(|| panic!("{}: no schema", path.display()));
        let (file, place) = schema.split_once('#').unwrap_or((schema, ""));
        let file = path.parent().expect("a file lies in a folder").join(file);
        let schema = std::fs::read_to_string(&file);
        let schema = schema.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let schema: Value = serde_json::from_str(&schema).expect("a schema is JSON");
        assert!(schema.pointer(place).is_some(), "{}: no {place} in the schema", path.display());
    }
}

#[test]
fn the_committed_schema_is_the_one_the_program_prints() {
    let path = root().join("schema/pipeline.schema.json");
    let committed = std::fs::read_to_string(&path);
    let committed = committed.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let printed = run(&["schema"]).exits_with(0).stdout;
    assert!(printed == committed, "write it anew: neuroflamingo schema > {}", path.display());
}
