//! Every shipped YAML file is read, every shipped pipeline can start, and the schema is current.

use std::path::{Path, PathBuf};

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

/// The strategy for windows of the Haxby fixture; the others are for recordings.
const HAXBY: &str = "haxby_windows_v1.yaml";

/// A pipeline that composes reports.
const COMPOSE: &str = "pipelines/compose-cohort.yaml";

/// Each strategy with the digest of what it says; other numbers need another name.
const STRATEGIES: [(&str, &str); 6] = [
    (
        "abcd_fmriprep_ica_aroma_v1",
        "4e445974dc55deab60dae0b0f46a90badb2a28a80abf1bf3e8dafb722d6974d6",
    ),
    ("haxby_windows_v1", "c6dd923e81e9af6534f68c4030497577e5cb05d92a4e0ec8f489efc6cb138455"),
    ("hcp_like_minimal_v1", "f0defb8fa113e3dfdd8ceb229c35d6b71e77fe1ba9194d3850b60ad8d99649c1"),
    (
        "rsfmri_brainlm_segments_v1",
        "5c2bfa7fff18333c5f6c9267b189e02058306f5fe627c0fe1c53897b9a5bf8d2",
    ),
    (
        "rsfmri_brainmt_segments_v1",
        "911c1460047253dc4e23d1c3513d099c2a3d6da4038287f023eb756aaf38cdfb",
    ),
    ("ukb_native_tensor_v1", "a0f516a6c2e2f22979209fe5b450ad1522977165be5a4c0b2cb7a31ae2b58b2a"),
];

/// Folders of `configs` that other programs read.
const FOR_OTHERS: [&str; 3] = ["babs", "containers", "nipoppy"];

/// Every file of a folder that this program reads; a link is another name of one.
fn yaml_files(folder: &str) -> Vec<PathBuf> {
    let others = FOR_OTHERS.map(|name| root().join("configs").join(name));
    let is_ours = |path: &PathBuf| {
        !path.is_symlink() && !others.iter().any(|folder| path.starts_with(folder))
    };
    let files = files_below(&root().join(folder)).into_iter();
    let files: Vec<PathBuf> = files.filter(is_ours).collect();
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
        if path.ancestors().any(|it| it.ends_with("strategy")) && !path.ends_with(HAXBY) {
            continue; // for recordings: below
        }
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

/// A cohort of one recording of 424 parcels and 400 frames, long enough for whatever is taken out of it.
fn long_recording(dir: &Path) -> String {
    let cell = |t: usize, k: usize| format!("{}.5", (t * (k + 1) + k) % 97);
    let row = |t| (0..424).map(|k| cell(t, k)).collect::<Vec<_>>().join("\t");
    let series: Vec<String> = (0..400).map(row).collect();
    std::fs::write(dir.join("series.tsv"), series.join("\n") + "\n").unwrap();
    let six = ["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"];
    let endings = ["", "_derivative1", "_power2", "_derivative1_power2"];
    let motion = six.iter().flat_map(|name| endings.map(|end| format!("{name}{end}")));
    let more = ["csf", "white_matter", "framewise_displacement"].map(str::to_owned);
    let names: Vec<String> = motion.chain(more).collect();
    let value = |t: usize, k: usize| format!("{}", ((t * 7 + k * t * t) % 89) as f64 / 1000.0);
    let row = |t| (0..names.len()).map(|k| value(t, k)).collect::<Vec<_>>().join("\t");
    let rows: Vec<String> = (0..400).map(row).collect();
    let text = format!("{}\n{}\n", names.join("\t"), rows.join("\n"));
    std::fs::write(dir.join("confounds.tsv"), text).unwrap();
    let people = "participant_id,path,confounds_path\n01,series.tsv,confounds.tsv\n";
    std::fs::write(dir.join("people.csv"), people).unwrap();
    let path = dir.join("long.yaml");
    let text = "name: long\nseed: 1\ncohort: { manifest: { table: people.csv, t_r: 0.8 } }\nstages: []\noutputs: runs\n";
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn every_strategy_for_recordings_plans_once_its_atlas_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let (long, home) = (long_recording(dir.path()), root().display().to_string());
    let atlas = format!("{home}/fixtures/synthetic/atlas/synthetic424");
    let labels = format!("stages.parcellate.atlas.labels={atlas}.nii.gz");
    let coordinates = format!("stages.parcellate.atlas.coordinates={atlas}_coordinates.tsv");
    let encoder =
        |name: &str| format!("model.encoder={{file: {home}/configs/encoder/{name}.yaml}}");
    for (name, _) in STRATEGIES.iter().filter(|(name, _)| !HAXBY.starts_with(name)) {
        let stages = format!("stages={{file: {home}/configs/strategy/{name}.yaml}}");
        // what the synthetic scans of 40 frames and the encoders for them cannot have as it is
        let (pipeline, more) = match *name {
            "rsfmri_brainlm_segments_v1" => {
                let length =
                    ["stages.sliding_windows.n_frames=40", "stages.normalise.pool_frames=40"];
                let more = [encoder("brainlm_synthetic_v1"), labels.clone(), coordinates.clone()];
                let more = more.into_iter().chain(length.map(str::to_owned));
                ("pipelines/encode-cohort.yaml", more.collect())
            }
            "rsfmri_brainmt_segments_v1" => {
                let size =
                    ["stages.volumes.shape=[14, 16, 13]", "stages.sliding_windows.n_frames=20"];
                let size = size.map(str::to_owned);
                (
                    "pipelines/encode-cohort.yaml",
                    [encoder("brainmt_synthetic_v1")].into_iter().chain(size).collect(),
                )
            }
            "ukb_native_tensor_v1" => (long.as_str(), vec![labels.clone(), coordinates.clone()]),
            _ => (long.as_str(), vec![labels.clone()]),
        };
        let sets: Vec<&str> = [&stages].into_iter().chain(&more).map(String::as_str).collect();
        plan(pipeline, &sets);
    }
}

#[test]
fn names_without_a_version_are_those_of_the_first() {
    for name in ["hcp_like_minimal", "ukb_native_tensor", "abcd_fmriprep_ica_aroma"] {
        let link = root().join(format!("configs/strategy/{name}.yaml"));
        let target = std::fs::read_link(&link).expect("a link");
        assert_eq!(target, PathBuf::from(format!("{name}_v1.yaml")));
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
    let named = |path: &PathBuf| !path.starts_with(root().join("configs/strategy"));
    let haxby = root().join("configs/strategy").join(HAXBY);
    for path in components().into_iter().filter(|it| named(it) || *it == haxby) {
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

#[test]
fn the_try_of_a_recipe_on_a_few_reports_is_said_before_it_runs() {
    let short = root().join("pipelines/quickstart-short.yaml").display().to_string();
    let check = |setting: &str| run(&["check", &short, "--set", setting]);
    let said = check("stages.finetune.overfit=2").stdout;
    assert!(said.contains("; learns and is judged by the first 2 windows alone"), "{said}");
    assert!(!check("stages.finetune.accumulate=1").stdout.contains("learns and is judged"));
    let refused = check("stages.finetune.overfit=0");
    assert!(refused.stderr.contains("overfit is 0, expected at least 1"), "{}", refused.stderr);
}
