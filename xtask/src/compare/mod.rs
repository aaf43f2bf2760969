//! Two programs on the same pipelines: whether what they publish and store is the same.
//!
//! Each pipeline is run by both, one after the other, in one folder and with one number of threads, so
//! that paths and sums agree. What may differ is said in [`difference`].

mod difference;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

/// A pipeline of `pipelines/`, and a scan that the package it writes is asked about.
struct Case {
    name: &'static str,
    sets: &'static [&'static str],
    scan: Option<&'static str>,
}

const CASES: &[Case] = &[
    Case { name: "encode-cohort", sets: &[], scan: None },
    Case {
        name: "swap-encoders",
        sets: &[
            "stages.finetune.steps=12",
            "stages.finetune.validate_every=4",
            "stages.finetune.checkpoint_every=4",
            "stages.generate.max_new_tokens=24",
        ],
        scan: Some("sub-05/func/sub-05_task-rest_space-MNI152NLin6Asym_desc-preproc_bold.nii.gz"),
    },
    Case { name: "caption", sets: &[], scan: None },
    Case {
        name: "quickstart-short",
        sets: &["stages.finetune.steps=4", "stages.finetune.validate_every=2"],
        scan: None,
    },
];

/// Runs the pipelines of these names, or all, by `old` and `new`; prints each difference.
///
/// # Errors
/// Where a run fails, or anything differs.
#[expect(clippy::print_stdout, reason = "the differences are what this chore is for")]
pub(crate) fn run(
    root: &Path,
    old: &Path,
    new: &Path,
    names: &[String],
    threads: usize,
) -> Result<()> {
    let known = || CASES.iter().map(|case| case.name).collect::<Vec<_>>().join(", ");
    if let Some(name) = names.iter().find(|name| CASES.iter().all(|case| case.name != **name)) {
        bail!("there is no {name} to compare, expected some of {}", known());
    }
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    let here = folder.path().join("here");
    let mut n_differ = 0;
    for case in CASES.iter().filter(|it| names.is_empty() || names.iter().any(|n| n == it.name)) {
        let mut kept = Vec::new();
        for (program, what) in [(old, "old"), (new, "new")] {
            let program = program.canonicalize();
            let program = program.with_context(|| format!("there is no {what} program"))?;
            case.run(&Program { path: program, root, threads }, &here)
                .with_context(|| format!("{}, the {what} program", case.name))?;
            let aside = folder.path().join(format!("{}-{what}", case.name));
            fs::rename(&here, &aside)?;
            kept.push(aside);
        }
        let found = difference::of_runs(&kept[0], &kept[1])?;
        for line in &found.notes {
            println!("{}: note: {line}", case.name);
        }
        for line in &found.differences {
            println!("{}: {line}", case.name);
        }
        println!("{}: {} differences", case.name, found.differences.len());
        n_differ += found.differences.len();
        kept.iter().try_for_each(fs::remove_dir_all)?;
    }
    ensure!(n_differ == 0, "the programs differ");
    Ok(())
}

struct Program<'a> {
    path: PathBuf,
    root: &'a Path,
    threads: usize,
}

impl Program<'_> {
    /// What it prints.
    fn says(&self, words: &[String]) -> Result<Vec<u8>> {
        let mut command = Command::new(&self.path);
        command.args(words).current_dir(self.root);
        command.env("RAYON_NUM_THREADS", self.threads.to_string());
        let output = command.output().context("it cannot be started")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{} {}: {said}", words[0], output.status);
        Ok(output.stdout)
    }
}

impl Case {
    /// Runs the pipeline with its outputs in `here`; what is printed is kept there too.
    fn run(&self, program: &Program<'_>, here: &Path) -> Result<()> {
        fs::create_dir_all(here)?;
        let outputs = format!("outputs={}", here.display());
        let sets = self.sets.iter().copied().chain([outputs.as_str()]);
        let sets: Vec<String> = sets.flat_map(|set| ["--set".to_owned(), set.to_owned()]).collect();
        for word in ["check", "run"] {
            let pipeline = format!("pipelines/{}.yaml", self.name);
            let words = [&[word.to_owned(), pipeline], &sets[..]].concat();
            fs::write(here.join(format!("{word}.txt")), program.says(&words)?)?;
        }
        let Some(scan) = self.scan else { return Ok(()) };
        let model = here.join(self.name).join("model").display().to_string();
        let scan = format!("fixtures/synthetic/bids/{scan}");
        let words = ["generate", "--model", &model, "--scan", &scan, "--json"];
        let written = program.says(&words.map(str::to_owned))?;
        Ok(fs::write(here.join("scan.json"), written)?)
    }
}
