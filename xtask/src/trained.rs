//! Really trained models whose verdict is known before: one that learns from the right scans, one from scans
//! that were dealt anew, and one whose people's site says their label.
//!
//! The program is the one beside this one, or the one that `NEUROFLAMINGO` names.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use rand::{SeedableRng as _, seq::SliceRandom as _};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::{kills, pairs::Pair};

/// People of each side that are learned from, and that select the step; the others are tested.
const N_TRAIN: usize = 4;
const N_VALIDATION: usize = 2;

/// What a model learns from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The scans that belong to the reports.
    Honest,
    /// Half of the scans of each side under reports of the other.
    Blind,
    /// The right scans of people whose site says their side, so that nobody can tell the two apart.
    Site,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Honest, Self::Blind, Self::Site];

    fn name(self) -> &'static str {
        match self {
            Self::Honest => "honest",
            Self::Blind => "blind",
            Self::Site => "site",
        }
    }
}

/// Trains a model of each kind for each seed in `dir`, and prints the verdicts.
///
/// # Errors
/// Where an honest model is found not to depend on its scans, or another one is found to depend on them. An
/// honest one may be undecided: twelve people are few.
#[expect(clippy::print_stdout, reason = "the verdicts are what this chore is for")]
pub(crate) fn run(root: &Path, dir: &Path, n_seeds: u64) -> Result<()> {
    fs::create_dir_all(dir)?;
    let program = kills::program()?;
    let (mut n_wrong, mut n_yes) = (0, 0);
    for kind in Kind::ALL {
        for seed in 1..=n_seeds {
            let verdict = verdict(root, dir, &program, kind, seed)?;
            let says = |answer: &str| verdict.starts_with(&format!("SCAN-DEPENDENT: {answer}"));
            let is_wrong = says(if kind == Kind::Honest { "no" } else { "yes" });
            n_yes += usize::from(kind == Kind::Honest && says("yes"));
            n_wrong += usize::from(is_wrong);
            println!("{} {seed}: {verdict}{}", kind.name(), if is_wrong { " WRONG" } else { "" });
        }
    }
    println!("{n_yes} of {n_seeds} honest models are found to depend on their scans");
    ensure!(n_wrong == 0, "{n_wrong} verdicts are wrong");
    Ok(())
}

fn verdict(root: &Path, dir: &Path, program: &Path, kind: Kind, seed: u64) -> Result<String> {
    let name = format!("{}-{seed}", kind.name());
    fs::write(dir.join(format!("{name}.csv")), table(root, kind, seed)?)?;
    let pipeline = dir.join(format!("{name}.yaml"));
    fs::write(&pipeline, pipeline_of(root, &name, seed)?)?;
    let ran = Command::new(program).arg("run").arg(&pipeline).output()?;
    let said = String::from_utf8_lossy(&ran.stderr);
    ensure!(ran.status.success(), "{name}: {said}");
    let metrics = dir.join("runs").join(&name).join("metrics.json");
    let metrics: Value = serde_json::from_slice(&fs::read(metrics)?)?;
    let verdict = metrics["verdict"].as_str().context("metrics.json has no verdict")?;
    Ok(verdict.to_owned())
}

/// The made-up cohort with half of the people of each side for the test.
fn table(root: &Path, kind: Kind, seed: u64) -> Result<Vec<u8>> {
    let folder = root.join("fixtures/synthetic");
    let mut reader = csv::Reader::from_path(folder.join("pairs.csv"))?;
    let mut pairs = reader.deserialize().collect::<csv::Result<Vec<Pair>>>()?;
    let side = |pair: &Pair| if pair.report.contains("right") { "right" } else { "left" };
    let mut sides: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (idx, pair) in pairs.iter().enumerate() {
        sides.entry(side(pair)).or_default().push(idx);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    sides.values_mut().for_each(|people| people.shuffle(&mut rng));
    let scan = |pair: &Pair| folder.join(&pair.scan).display().to_string();
    let mut scans: Vec<String> = pairs.iter().map(scan).collect();
    if kind == Kind::Blind {
        let learned = 0..N_TRAIN + N_VALIDATION;
        let (left, right) = (&sides["left"], &sides["right"]);
        for place in learned.step_by(2) {
            scans.swap(left[place], right[place]);
        }
    }
    for people in sides.values() {
        for (place, &idx) in people.iter().enumerate() {
            let split = match place {
                _ if place < N_TRAIN => "train",
                _ if place < N_TRAIN + N_VALIDATION => "validation",
                _ => "test",
            };
            split.clone_into(&mut pairs[idx].split);
        }
    }
    let mut writer = csv::Writer::from_writer(Vec::new());
    let columns = ["subject", "session", "scan", "onset", "duration", "report", "split", "site"];
    let columns = if kind == Kind::Site { &columns[..] } else { &columns[..7] };
    writer.write_record(columns)?;
    for (pair, scan) in pairs.iter().zip(&scans) {
        let Pair { subject, session, onset, duration, report, split, .. } = pair;
        let mut cells: Vec<&str> = vec![subject, session, scan, onset, duration, report, split];
        if kind == Kind::Site {
            cells.push(side(pair));
        }
        writer.write_record(cells)?;
    }
    writer.into_inner().context("a table in memory")
}

/// `pipelines/swap-encoders.yaml` with more steps, and an evaluation.
fn pipeline_of(root: &Path, name: &str, seed: u64) -> Result<String> {
    let path = root.join("pipelines/swap-encoders.yaml");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let generate = "  - generate: { max_new_tokens: 48, batch_size: 4 }\n";
    let changes = [
        ("name: swap-encoders", format!("name: {name}")),
        ("seed: 1", format!("seed: {seed}")),
        ("../fixtures/synthetic/pairs.csv", format!("{name}.csv")),
        ("steps: 40", "steps: 300".to_owned()),
        ("validate_every: 10", "validate_every: 30".to_owned()),
        ("checkpoint_every: 10", "checkpoint_every: 60".to_owned()),
        (generate, format!("{generate}  - evaluate: {{}}\n")),
        ("outputs: ../runs", "outputs: runs".to_owned()),
    ];
    let mut changed = text;
    for (from, to) in changes {
        ensure!(changed.contains(from), "{}: has no {from:?}", path.display());
        changed = changed.replacen(from, &to, 1);
    }
    let above = PathBuf::from(root).display().to_string();
    Ok(changed.replace("../", &format!("{above}/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_blind_learn_from_scans_of_the_other_side() {
        let root = crate::repository();
        let rows = |kind: Kind| {
            let table = table(&root, kind, 3).unwrap();
            let mut reader = csv::Reader::from_reader(table.as_slice());
            reader.records().collect::<csv::Result<Vec<_>>>().unwrap()
        };
        let (honest, blind) = (rows(Kind::Honest), rows(Kind::Blind));
        let n_of = |split: &str| honest.iter().filter(|row| &row[6] == split).count();
        assert_eq!([n_of("train"), n_of("validation"), n_of("test")], [8, 4, 12]);
        let moved = |split: &str| {
            let pairs = honest.iter().zip(&blind).filter(|(row, _)| &row[6] == split);
            pairs.filter(|(a, b)| a[2] != b[2]).count()
        };
        // of each side two of four, one of two, and none
        assert_eq!([moved("train"), moved("validation"), moved("test")], [4, 2, 0]);
        assert!(rows(Kind::Site).iter().all(|row| row[5].contains(&row[7])));
    }
}
