//! The map of ARCHITECTURE.md, held: who may depend on whom, and who may use what.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use cargo_metadata::{DependencyKind, MetadataCommand};
use imports::Imports;

mod imports;

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
    ("encoder", &["config", "files", "formats", "nn", "scan"]),
    ("lm", &["formats", "nn"]),
    ("flamingo", &["encoder", "files", "formats", "lm", "nn"]),
    ("train", &["encoder", "files", "flamingo", "kernels", "lm", "nn"]),
    ("report", &["scan"]),
    (
        "preprocess",
        &["cohort", "config", "encoder", "engine", "files", "flamingo", "scan", "tables"],
    ),
    ("pages", &["files", "report"]),
    ("serve", &["pages"]),
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
            "kernels",
            "preprocess",
            "pages",
            "report",
            "scan",
            "tables",
            "train",
        ],
    ),
    ("cli", &["pipeline", "serve"]),
];

/// Packages from outside with the crates that may use them, beside tests and xtask.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("candle-core", &["encoder", "flamingo", "lm", "nn", "train"]),
    ("candle-nn", &["encoder", "flamingo", "lm", "nn", "train"]),
    ("candle-transformers", &[]),
    ("tokenizers", &["lm"]),
    ("minijinja", &["lm"]),
    ("minijinja-contrib", &["lm"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("anyhow", &["cli"]),
    ("indicatif", &["cli"]),
    ("tracing-subscriber", &["cli"]),
    ("hdf5-metno", &["scan"]),
    ("nifti", &["scan"]),
    ("base64", &["pages", "scan"]),
    ("askama", &["pages"]),
    ("png", &["encoder", "pages"]),
    ("hyper", &["serve"]),
    ("hyper-util", &["serve"]),
    ("tokio", &["serve"]),
    ("polars", &["tables"]),
    ("sha2", &["files"]),
    ("hmac", &["files"]),
    // the pipeline files, and the manifest of a model package
    ("serde-saphyr", &["config", "flamingo"]),
];

/// The modules of a crate from the bottom up: each imports only modules of the lines before its own, and
/// those of its line. A folder is one module, but for those of its files that have a name here.
const MODULES: &[(&str, &[&str])] =
    &[("engine", ENGINE), ("pipeline", PIPELINE), ("preprocess", PREPROCESS)];

const ENGINE: &[&str] = &[
    "error failure key",
    "budget digests journal kept lock sweep",
    "arrays control",
    "each store",
];

const PREPROCESS: &[&str] = &[
    "error kind settings slices stats",
    "arrays recording seen",
    "cut mirror series whitening",
    "measured policy volumes",
    "made step",
    "prepared registry steps",
    "recipe",
];

const PIPELINE: &[&str] = &[
    "additions aside event framed model_id operations one_scan prompts reasons shown slot_guide training_log plan/run \
     stage/artifact",
    "answers error stage/embeddings stage/series_set stage/token_set",
    "stage/embed/config stage/encode/config stage/export/config stage/harmonise/config stage/probe/config \
     stage/quality/config stage/select/asked",
    "phases/ask/config phases/attribute/config phases/caption/config phases/compose/config phases/evaluate/config phases/few_shot/config \
     phases/render/config",
    "stage/stages",
    "spec",
    "plan/asked plan/benchmark plan/disk plan/frames plan/lm plan/memory plan/omics plan/pictures plan/resolved plan/scans \
     plan/source plan/table plan/trained plan/training",
    "named",
    "journal media",
    "stage units watch",
    "package record/stages",
    "runner",
    "phases/adjusted phases/ask phases/attribute phases/caption phases/compose phases/evaluate phases/few_shot phases/finetune \
     phases/generate phases/pages phases/pretrain phases/results",
    "unit_record",
    "asked captions methods record",
    "publish thresholds",
    "phases",
    "plan",
    "one per_fold shard stats",
    "caption run score status submit summary",
    "browse",
    "bids_app check_encoder stored",
];

/// Files of a crate that lie on a circle of imports of three files or more; of a crate that is not named
/// here, none. A number is lowered with the circles that went, and never raised.
const IN_CIRCLES: &[(&str, usize)] = &[
    ("cli", 7),
    ("cohort", 17),
    ("encoder", 7),
    ("flamingo", 8),
    ("formats", 4),
    ("lm", 10),
    ("report", 8),
    ("scan", 31),
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

/// The imports of a crate.
fn imports(name: &str) -> Imports {
    let folder = tests::root().join("crates").join(name).join("src");
    let library = folder.join("lib.rs");
    Imports::of(&if library.is_file() { library } else { folder.join("main.rs") })
}

#[test]
fn modules_import_only_those_below() {
    for (name, lines) in MODULES {
        let line = |file: &str| {
            let file = file.trim_end_matches(".rs");
            // the file itself, or the nearest folder that has a name
            let mut folders = std::iter::successors(Some(file), |it| Some(it.rsplit_once('/')?.0));
            let on_line = |module| lines.iter().position(|it| it.split(' ').any(|it| it == module));
            let found = folders.find_map(on_line);
            found.unwrap_or_else(|| panic!("module `{file}` of {name} is not on the map"))
        };
        let imports = imports(name);
        let inside = imports.named().filter(|(from, to)| ![from, to].contains(&&"lib.rs"));
        let upwards: Vec<_> = inside.filter(|(from, to)| line(from) < line(to)).collect();
        assert!(upwards.is_empty(), "{name} imports upwards: {upwards:#?}");
    }
}

#[test]
#[allow(clippy::print_stdout, reason = "the counts are what one wants to know")]
fn circles_of_imports_do_not_grow() {
    for name in members().into_keys().filter(|name| !is_tool(name)) {
        let imports = imports(&name);
        let circles = imports.circles();
        let files: BTreeSet<&str> = circles.iter().flatten().copied().collect();
        println!("{name}: {} files on circles of three or more", files.len());
        let most = IN_CIRCLES.iter().find(|(of, _)| *of == name).map_or(0, |(_, most)| *most);
        assert!(
            files.len() <= most,
            "{name}, {} files instead of {most}: {circles:#?}",
            files.len()
        );
    }
}

/// Every source file below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the workspace").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_source_file_is_longer_than_a_sitting() {
    let mut all = Vec::new();
    for folder in ["crates", "tests", "xtask"] {
        sources(&tests::root().join(folder), &mut all);
    }
    let lines =
        |path: &PathBuf| std::fs::read_to_string(path).expect("a source file").lines().count();
    let long: Vec<PathBuf> = all.into_iter().filter(|path| lines(path) > 800).collect();
    assert!(long.is_empty(), "more than 800 lines: {long:#?}");
}

/// Below the program, the device is handed down: these lines alone choose one. Files of weights are read into main
/// memory; two functions open a model on the CPU, for whoever has no other device; and a plan looks at weights on the
/// CPU, wherever the run will be.
const DEVICES: [(&str, usize); 4] = [
    ("flamingo/src/model.rs", 1),
    ("lm/src/pretrained/mod.rs", 1),
    ("nn/src/matrix/numbers.rs", 1),
    ("pipeline/src/plan/encoder.rs", 1),
];

/// The part of a file that is no test.
fn untested(path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("a source file");
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..end].to_owned()
}

#[test]
fn the_device_is_handed_down() {
    let crates = tests::root().join("crates");
    let mut files = Vec::new();
    sources(&crates, &mut files);
    let mut found = BTreeMap::new();
    for path in files {
        let name = path.strip_prefix(&crates).expect("below it").to_string_lossy().into_owned();
        let of_tests = [
            "tests.rs",
            "/tests/",
            "/testing/",
            "by_hand.rs",
            "tiny.rs",
            "gradcheck.rs",
            "/benches/",
        ];
        let is_exempt = name.starts_with("cli/")
            || name == "nn/src/device.rs"
            || name.starts_with("nn/src/weights/");
        if is_exempt || of_tests.iter().any(|part| name.contains(part)) {
            continue;
        }
        let chosen = ["Device::Cpu", "Device::cpu", "Device::default()"];
        let text = untested(&path);
        let n = text.lines().filter(|line| chosen.iter().any(|it| line.contains(it))).count();
        if n > 0 {
            found.insert(name, n);
        }
    }
    let expected = DEVICES.map(|(name, n)| (name.to_owned(), n)).into();
    assert_eq!(found, expected, "a device is chosen below the program");
}

#[test]
fn steps_are_told_apart_in_one_file() {
    let registry = tests::root().join("crates/preprocess/src/steps/mod.rs");
    let text = std::fs::read_to_string(&registry).expect("the registry of steps");
    let steps: Vec<&str> = text
        .lines()
        .filter(|line| line.ends_with("Config),"))
        .filter_map(|line| line.trim().split_once("($crate::steps::").map(|it| it.0))
        .collect();
    assert!(steps.len() >= 12, "the registry is written otherwise now: {steps:?}");
    let (mut all, mut told) = (Vec::new(), Vec::new());
    for folder in ["crates/cli", "crates/pipeline"] {
        sources(&tests::root().join(folder), &mut all);
    }
    for path in all {
        let text = std::fs::read_to_string(&path).expect("a source file");
        // other enums may have variants of these names
        let is_of_stages = path.parent().is_some_and(|it| it.ends_with("stage"));
        let names = |step: &&&str| {
            text.contains(&format!("Stage::{step}("))
                || is_of_stages && text.contains(&format!("Self::{step}("))
        };
        let of_file = steps.iter().filter(names);
        told.extend(of_file.map(|step| format!("{}: Stage::{step}", path.display())));
        // nor by the names under which files ask for them
        let is_arm = |step: &&&str| {
            let name = format!("\"{}\"", snake(step));
            [" =>", " if ", " |"].iter().any(|then| text.contains(&format!("{name}{then}")))
        };
        let of_file = steps.iter().filter(is_arm);
        told.extend(of_file.map(|step| format!("{}: {}", path.display(), snake(step))));
    }
    assert!(told.is_empty(), "ask `preprocess::Step` instead: {told:#?}");
}

/// `EventWindows` as `event_windows`.
fn snake(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
    }
    out
}

/// Encoders that others know: pictures go through CLIP, and tokens that are there are handed on.
const KNOWN_ENCODERS: [&str; 2] = ["Clip", "Stored"];

#[test]
fn encoders_are_told_apart_in_one_file() {
    let registry = tests::root().join("crates/encoder/src/registry.rs");
    let text = std::fs::read_to_string(&registry).expect("the registry of encoders");
    let listed = text.split_once("\nencoders! {\n").expect("the list of encoders").1;
    let listed = listed.split_once("\n}\n").expect("the list ends").0;
    let encoders: Vec<&str> = listed
        .lines()
        .filter(|line| line.ends_with("),"))
        .filter_map(|line| Some(line.trim().split_once('(')?.0))
        .collect();
    assert!(encoders.len() >= 11, "the registry is written otherwise now: {encoders:?}");
    let (mut all, mut told) = (Vec::new(), Vec::new());
    for name in members().into_keys().filter(|name| !is_tool(name) && name != "encoder") {
        sources(&tests::root().join("crates").join(name).join("src"), &mut all);
    }
    for path in
        all.into_iter().filter(|path| !path.iter().any(|it| it == "tests" || it == "tests.rs"))
    {
        let text = std::fs::read_to_string(&path).expect("a source file");
        let is_named = |it: &&&str| {
            !KNOWN_ENCODERS.contains(*it) && text.contains(&format!("EncoderConfig::{it}("))
        };
        let of_file = encoders.iter().filter(is_named);
        told.extend(of_file.map(|it| format!("{}: EncoderConfig::{it}", path.display())));
    }
    assert!(told.is_empty(), "ask `encoder::EncoderConfig` instead: {told:#?}");
}
