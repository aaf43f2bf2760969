//! Composed reports from parcel series of made-up people, and what a training on them takes.

use std::{fmt::Write as _, fs, path::Path};

use serde_json::Value;
use tests::{Stored, Synthetic, root, run};
use xtask::synthetic::is_left;

const NETWORKS: [&str; 2] = ["Vis", "Default"];
/// Two parcels a network and side.
const N_PARCELS: usize = 8;
const N_FRAMES: usize = 120;
/// Of the test people 20 and 21 have a planted effect in the visual network: strong and weak coupling.
const N_PEOPLE: usize = 24;

/// A number from −0.5 to 0.5 that depends on its place alone.
fn noise(seed: usize, frame: usize, column: usize) -> f64 {
    let mut state = [seed, frame, column].iter().fold(0xcbf2_9ce4_8422_2325_u64, |state, part| {
        (state ^ (*part as u64 + 1)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    });
    for _ in 0..3 {
        state ^= state >> 31;
        state = state.wrapping_mul(0xd6e8_feb8_6659_fd93);
    }
    (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
}

/// One person's series: each network's parcels share a signal of this strength.
fn series(person: usize) -> String {
    let strength = |network: usize| match (person, network) {
        (20, 0) => 2.5,
        (21, 0) => 0.2,
        _ => 1.0 + 0.1 * noise(person, 0, 100 + network),
    };
    let mut text = String::new();
    for frame in 0..N_FRAMES {
        let cells = (0..N_PARCELS).map(|parcel| {
            let network = parcel % 2;
            let shared = noise(person, frame, 50 + network);
            (strength(network) * shared + noise(person, frame, parcel)).to_string()
        });
        text += &cells.collect::<Vec<_>>().join("\t");
        text.push('\n');
    }
    text
}

fn cohort(dir: &Path, split: &str) -> String {
    let mut people = "participant_id,path,age,sex,split\n".to_owned();
    for person in 0..N_PEOPLE {
        fs::write(dir.join(format!("p{person:02}.tsv")), series(person)).unwrap();
        let split = if person < 14 {
            "train"
        } else if person < 18 {
            "validation"
        } else {
            "test"
        };
        let (age, sex) = (if person == 23 { 93 } else { 20 + 3 * person }, ["F", "M"][person % 2]);
        writeln!(people, "{person:02},p{person:02}.tsv,{age},{sex},{split}").unwrap();
    }
    fs::write(dir.join("people.csv"), people).unwrap();
    let mut names = "index\tname\n".to_owned();
    for parcel in 0..N_PARCELS {
        let (network, side) = (NETWORKS[parcel % 2], ["LH", "RH"][parcel / 4]);
        writeln!(names, "{}\t7Networks_{side}_{network}_{}", parcel + 1, parcel / 2 % 2 + 1)
            .unwrap();
    }
    fs::write(dir.join("names.tsv"), names).unwrap();
    let spec = root().join("configs/report/rsfmri_summary_v1.yaml");
    let text = format!(
        "name: composed\nseed: 1\ncohort:\n  manifest:\n    table: people.csv\n    t_r: 2.0\n{split}\
         stages:\n  - parcellate: {{ atlas: {{ id: made-up, names: names.tsv }} }}\n  \
         - compose: {{ report: {{ file: {} }} }}\noutputs: runs\n",
        spec.display()
    );
    let path = dir.join("compose.yaml");
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

const SPLIT: &str = "    split: { column: split }\n";

#[test]
fn planted_effects_are_reported_with_their_signs_and_the_table_is_one_of_pairs() {
    let dir = tempfile::tempdir().unwrap();
    let path = cohort(dir.path(), SPLIT);
    run(&["run", &path]).exits_with(0);
    let folder = dir.path().join("runs/composed/composed");
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let report = |person: usize| read(&format!("sub-{person:02}.txt"));
    let said = |person: usize| {
        let text = report(person);
        let at = text.find("within the visual network").expect("the network is spoken of");
        let sentence = text[..at].rfind(['.', '\n', ':']).map_or(0, |it| it + 1);
        text[sentence..].split(").").next().unwrap().to_lowercase()
    };
    let (strong, weak) = (said(20), said(21));
    assert!(
        strong.contains("z = +") && (strong.contains("increased") || strong.contains("elevated")),
        "{strong}"
    );
    assert!(
        weak.contains("z = -") && (weak.contains("decreased") || weak.contains("reduced")),
        "{weak}"
    );
    assert!(report(20).contains("120 frames") && report(20).contains("Limits: "));
    assert!(report(23).contains("90+ years") && !report(23).contains("93 years"));
    let statistics = read("statistics.tsv");
    assert!(statistics.contains("within:Vis\t14\t"), "{statistics}");
    // nothing of the test people decides a z: without them the same is fitted
    let table = read("reports.csv");
    assert!(
        table
            .lines()
            .next()
            .unwrap()
            .starts_with("subject,session,scan,onset,duration,report,split,")
    );
    assert!(!table.contains("93 years") && !read("statements.json").contains("\"93\""));
    // the table and its slots are what a training takes
    let pairs = "name: pairs\nseed: 1\ncohort:\n  pairs:\n    table: runs/composed/composed/reports.csv\n    \
         split_unit: subject\n    slots: { file: runs/composed/composed/slots.yaml }\n    \
         prompt: \"Technique: {technique}\\n\"\n    t_r: 2.0\nstages:\n  \
         - parcellate: { atlas: { id: made-up, names: names.tsv } }\noutputs: runs\n";
    fs::write(dir.path().join("pairs.yaml"), pairs).unwrap();
    let path = dir.path().join("pairs.yaml").display().to_string();
    run(&["check", &path]).exits_with(0);
    // a second run takes what is there
    let again = run(&["run", &cohort(dir.path(), SPLIT)]).exits_with(0);
    assert!(again.stderr.contains("compose"), "{again}");
    assert_eq!(read("reports.csv"), table);
}

#[test]
fn without_training_people_or_networks_nothing_is_composed() {
    let dir = tempfile::tempdir().unwrap();
    let path = cohort(dir.path(), "");
    let said = run(&["check", &path]).exits_with(2).stderr;
    assert!(
        said.contains("stages.compose: measures everyone by the training people, and there are 0"),
        "{said}"
    );
    let path = cohort(dir.path(), SPLIT);
    let names = fs::read_to_string(dir.path().join("names.tsv")).unwrap();
    fs::write(dir.path().join("names.tsv"), names.replace("7Networks_", "area-")).unwrap();
    let said = run(&["run", &path]).exits_with(2).stderr;
    assert!(said.contains("finds no network in the names of the atlas"), "{said}");
}

#[test]
fn covariates_are_regressed_out_as_fitted_to_the_training_people() {
    let dir = tempfile::tempdir().unwrap();
    let path = cohort(dir.path(), SPLIT);
    let plain = fs::read_to_string(&path).unwrap();
    let with = |columns: &str| {
        let text =
            plain.replace("- compose: {", &format!("- compose: {{ regress_out: [{columns}],"));
        fs::write(&path, text).unwrap();
    };
    with("age, sex");
    run(&["run", &path]).exits_with(0);
    let read = |name: &str| {
        fs::read_to_string(dir.path().join("runs/composed/composed").join(name)).unwrap()
    };
    let adjusted: Value = serde_json::from_str(&read("regressed_out.json")).unwrap();
    assert_eq!(adjusted["fitted"]["within:Vis"]["n_people"], 14);
    assert_eq!(adjusted["fitted"].as_object().unwrap().len(), 6, "three of each network");
    let report = read("sub-20.txt");
    let (_, limits) = report.split_once("Limits: ").unwrap();
    assert!(limits.contains("Connectivity was adjusted for covariates"), "{report}");
    with("age, sex, ses");
    let said = run(&["check", &path]).exits_with(2).stderr;
    // without confounds there is no motion
    let expected = "regress_out names ses, expected one of age, coverage, dvars, n_frames, ";
    assert!(said.contains(expected), "{said}");
    with("age, mean_fd");
    let said = run(&["check", &path]).exits_with(2).stderr;
    assert!(said.contains("regress_out names mean_fd, expected one of age, "), "{said}");
    with("age, age");
    let said = run(&["check", &path]).exits_with(2).stderr;
    assert!(said.contains("regress_out names the column age twice"), "{said}");
}

#[test]
fn the_shipped_cohort_is_told_by_its_stronger_side() {
    let it = Synthetic::new(24, Stored::Mixed, "compose-cohort");
    it.run(&[]).exits_with(0);
    let statements = fs::read_to_string(it.result("compose-cohort", "composed/statements.json"));
    let reports: Value = serde_json::from_str(&statements.unwrap()).unwrap();
    let reports = reports.as_array().unwrap();
    assert_eq!(reports.len(), 24);
    for (person, report) in reports.iter().enumerate() {
        let said = report["statements"].as_array().unwrap();
        let of = |slot: &str| said.iter().find(|it| it["slot"] == slot);
        // the parcels of the stronger side share a signal, so that they are coupled
        for network in ["Vis", "Limbic", "Default"] {
            let z = of(&format!("laterality_{network}")).unwrap()["number"].as_f64().unwrap();
            assert_eq!(z > 0.0, is_left(person), "sub-{:02} {network}: {z}", person + 1);
        }
        assert!(of("mean_fd").is_some() && of("age").is_some() && of("coverage").is_some());
    }
}
