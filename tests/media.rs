//! Several media of a report: `pipelines/omics.yaml`, whose reports follow from invented numbers beside the scans.

use std::{fs, path::Path};

use serde_json::Value;
use tests::{Ran, root, run};

const SCAN: &str = "fixtures/haxby2001/run011/bold_1slice.nii.gz";

fn omics(command: &str, outputs: &Path, more: &[&str]) -> Ran {
    let outputs = format!("outputs={}", outputs.display());
    let mut args = vec![command, "pipelines/omics.yaml", "--set", &outputs];
    args.extend(more.iter().flat_map(|set| ["--set", *set]));
    run(&args)
}

#[test]
fn the_verdict_is_yes_through_the_numbers_alone_and_a_package_reads_them() {
    let dir = tempfile::tempdir().unwrap();
    let ran = omics("run", dir.path(), &[]);
    assert_eq!(ran.code, Some(0), "{ran}");
    let run_dir = dir.path().join("omics");
    let metrics = fs::read_to_string(run_dir.join("metrics.json")).unwrap();
    let metrics: Value = serde_json::from_str(&metrics).unwrap();
    let medium = |at: usize| &metrics["each_medium"][at];
    assert_eq!((&medium(0)["name"], &medium(1)["name"]), (&"bold".into(), &"scores".into()));
    let answer = |at: usize| medium(at)["evidence"]["verdict"]["answer"].as_str().unwrap();
    assert_eq!((answer(0), answer(1)), ("no", "yes"), "{ran}");
    // one test window has no numbers
    assert_eq!((&medium(0)["n_missing"], &medium(1)["n_missing"]), (&0.into(), &1.into()));
    let accuracy = |at: usize, name: &str| {
        let rows = medium(at)["table"].as_array().unwrap();
        let row = rows.iter().find(|row| row["name"] == name).unwrap();
        row["accuracy"]["estimate"].as_f64().unwrap()
    };
    // own, no and other numbers; without the scan it says the same
    assert!(accuracy(1, "generated") > 0.8 && accuracy(1, "no scan") < 0.7);
    assert!(accuracy(0, "no scan") > 0.8);
    assert!(metrics["verdict"].as_str().unwrap().starts_with("MEDIA-DEPENDENT: yes ("));
    for line in ["MEDIUM bold: no (", "MEDIUM scores: yes (", "MEDIA-DEPENDENT: yes ("] {
        assert!(ran.stdout.contains(line), "{line}: {ran}");
    }

    let model = run_dir.join("model").display().to_string();
    let write = |more: &[&str]| {
        let command = ["generate", "--model", &model, "--scan", SCAN, "--window", "1"];
        run(&[&command[..], more].concat())
    };
    let faces = write(&["--given", "score_a=62", "--given", "score_b=0.1"]);
    let houses = write(&["--given", "score_a=38"]);
    assert!(faces.stdout.contains("viewing of faces"), "{faces}");
    assert!(houses.stdout.contains("viewing of houses"), "{houses}");
    let table = dir.path().join("people.tsv");
    fs::write(&table, "participant_id\tscore_a\tscore_b\tscore_c\nsub-1\t38\tn/a\tn/a\n").unwrap();
    let table = table.display().to_string();
    let said = write(&["--omics", &table]);
    assert!(said.stdout.contains("viewing of houses"), "{said}");
    // of several people the row is that of the scan's own
    let several =
        "participant_id\tscore_a\tscore_b\tscore_c\nsub-1\t38\tn/a\tn/a\nsub-2\t62\tn/a\tn/a\n";
    fs::write(&table, several).unwrap();
    assert_eq!(write(&["--omics", &table]).stdout, said.stdout);
    let both = write(&["--omics", &table, "--given", "score_a=62"]);
    assert!(both.stderr.contains("both say the numbers of scores, expected one of them"), "{both}");
    for people in [several.replace("sub-1", "sub-3"), several.replace("sub-1\t38\tn/a\tn/a\n", "")]
    {
        fs::write(&table, people).unwrap();
        let nobody = write(&["--omics", &table]);
        assert_eq!((nobody.code, nobody.stdout.as_str()), (Some(2), ""), "{nobody}");
        assert!(nobody.stderr.contains("has no row of this scan's person"), "{nobody}");
    }
    // without any the medium is missing, which is not the average person
    let missing = write(&["--json"]);
    let unknown = ["--given", "score_a=n/a"];
    assert_eq!(missing.stdout, write(&[&unknown[..], &["--json"]].concat()).stdout);
    let average = ["--given", "score_a=50", "--given", "score_b=0", "--json"];
    assert_ne!(missing.stdout, write(&average).stdout);
    let wrong = write(&["--given", "score_a=high"]);
    assert!(
        wrong.stderr.contains("--given score_a is `high`, expected a number or n/a"),
        "{wrong}"
    );
    assert_eq!(wrong.code, Some(2));
}

/// What `check` says against a table of pairs with changed cells and a pipeline with changed settings.
fn refused(change: impl Fn(&str) -> String, more: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let pairs = fs::read_to_string(root().join("fixtures/omics/pairs.csv")).unwrap();
    let haxby = root().join("fixtures/haxby2001").display().to_string();
    let pairs = change(&pairs.replace("../haxby2001", &haxby));
    let path = dir.path().join("pairs.csv");
    fs::write(&path, pairs).unwrap();
    let table = format!("cohort.pairs.table={}", path.display());
    let ran = omics("check", dir.path(), &[&[table.as_str()], more].concat());
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{ran}");
    ran.stderr
}

/// The cells of a column of the table, each changed.
fn each_cell(pairs: &str, of: impl Fn(&str) -> String) -> String {
    let line = |line: &str| match line.rsplit_once(',') {
        Some((before, cell)) if cell.parse::<f64>().is_ok() || cell == "n/a" => {
            format!("{before},{}\n", of(cell))
        }
        _ => format!("{line}\n"),
    };
    pairs.lines().map(line).collect()
}

#[test]
fn media_that_cannot_be_shown_are_refused_in_a_sentence() {
    let same = |pairs: &str| pairs.to_owned();
    let media =
        "cohort.pairs.media={bold: scan, scores: {omics: {columns: [score_a, score_b, score_c]}}";
    for (more, expected) in [
        (
            format!("{media}, genes: {{omics: {{columns: [score_a]}}}}}}"),
            "cohort.pairs.media.genes: the prompt has 0 <image:genes>, expected 1",
        ),
        (
            "cohort.pairs.prompt=<image:bold><image:genes>{technique}".to_owned(),
            "cohort.pairs.prompt has `<image:genes>`, which is no medium: expected <image:bold>, \
             <image:scores>",
        ),
        (
            "model.gates={file: configs/gates/tiny_v1.yaml}"
                .replace("configs", &root().join("configs").display().to_string()),
            "model.gates.only_attend_immediate_media is true, so that text would see the last of 2 media \
             only: expected false",
        ),
        (
            "model.resampler.max_num_media=1".to_owned(),
            "model.resampler.max_num_media is 1, expected at least 2",
        ),
    ] {
        let said = refused(same, &[&more]);
        assert!(said.contains(expected), "{said}");
    }
    let said = refused(|pairs| each_cell(pairs, |_| "tall".to_owned()), &[]);
    assert!(said.contains("row 2: score_c is `tall`, expected a number or n/a"), "{said}");
    let said = refused(|pairs| each_cell(pairs, |_| "3".to_owned()), &[]);
    let expected = "cohort.pairs.media.scores: column score_c has one value only among the training people, \
                    expected several";
    assert!(said.contains(expected), "{said}");
    let said = refused(|pairs| pairs.replacen("score_c", "age", 1), &[]);
    assert!(said.contains("column score_c is missing, which medium scores reads"), "{said}");
}

#[test]
fn a_table_of_people_says_who_has_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let of = |text: &str, columns: &str| {
        let path = dir.path().join("people.tsv");
        fs::write(&path, text).unwrap();
        // the columns of the pairs stay, in the place of what is known of people
        let pairs = fs::read_to_string(root().join("fixtures/omics/pairs.csv")).unwrap();
        let haxby = root().join("fixtures/haxby2001").display().to_string();
        let pairs = pairs.replace("../haxby2001", &haxby);
        let cut = |line: &str| match line.rsplitn(4, ',').last() {
            Some(kept) if line.matches(',').count() > 2 && !line.starts_with("1,") => {
                kept.to_owned()
            }
            _ => line.to_owned(),
        };
        let pairs: Vec<String> = pairs.lines().map(cut).collect();
        let table = dir.path().join("pairs.csv");
        fs::write(&table, pairs.join("\n")).unwrap();
        let table = format!("cohort.pairs.table={}", table.display());
        let path = path.display();
        let media = format!(
            "cohort.pairs.media={{bold: scan, scores: {{omics: {{table: {path}{columns}}}}}}}"
        );
        omics("check", dir.path(), &[&table, &media])
    };
    // there is one volunteer: one value tells nobody apart
    let said = of("subject\tprs\n1\t0.5\n2\t0.7\n", "");
    assert!(said.stderr.contains("column prs has one value only"), "{said}");
    let said = of("subject\tprs\n2\t0.5\n3\t0.7\n", "");
    assert!(said.stderr.contains("cohort.pairs.media.scores: nobody of"), "{said}");
    let said = of("subject\tprs\n1\ttall\n2\tsmall\n", "");
    assert!(said.stderr.contains("column prs holds words, expected numbers or n/a"), "{said}");
    let said = of("subject\tprs\n1\t1\n1\t2\n", "");
    assert!(said.stderr.contains("row 3 is a second one of a person, expected one"), "{said}");
    let said = of("person\tprs\n1\t1\n", "");
    assert!(said.stderr.contains("has no column subject or participant_id"), "{said}");
    let said = of("subject\tprs\n1\t1\n", ", columns: [prs, age]");
    assert!(said.stderr.contains("column age is missing, which medium scores reads"), "{said}");
}
