//! What the outputs of a cohort say of its recordings: reasons, figures, folds, labels.

use std::{fmt::Write as _, fs};

use tables::{Cell, Table};
use tests::{Cohort, Stored, Synthetic, run, says};
use xtask::synthetic;

const ENCODE: &str = "encode-cohort";
const DISCLAIMER: &str = "not for diagnosis; not a medical device.";
const BIDS: &str = "  bids:\n    dir: bids\n    entities: { task: [rest] }\n";

fn encode(n: usize, cohort: &str) -> Synthetic {
    let it = Synthetic::new(n, Stored::Mixed, ENCODE);
    it.edit_pipeline(BIDS, cohort);
    it
}

fn table(it: &Synthetic, name: &str) -> Table {
    tables::read(it.result(ENCODE, name)).expect("a table")
}

fn cell<'a>(table: &'a Table, name: &str, row: usize) -> Cell<'a> {
    table.column(name).expect("a column").cell(row)
}

fn number(table: &Table, name: &str, row: usize) -> f64 {
    match cell(table, name, row) {
        Cell::Number(number) => number,
        other => panic!("{name} is {other:?}"),
    }
}

/// The rows of `status.tsv`, each with its columns by name.
fn status(it: &Synthetic, folder: &str) -> Vec<[String; 4]> {
    let text = fs::read_to_string(it.result(ENCODE, &format!("{folder}status.tsv"))).unwrap();
    let mut lines = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let names = lines.next().unwrap();
    let place = |name: &str| names.iter().position(|it| *it == name).unwrap();
    let wanted = ["fold", "split", "status", "reason"].map(place);
    lines.map(|cells| wanted.map(|place| cells[place].to_owned())).collect()
}

#[test]
fn where_nothing_is_left_the_first_reason_and_each_in_a_table_are_told() {
    let it = encode(3, BIDS);
    fs::write(it.dir().join("bids/task-rest_bold.json"), "{\"RepetitionTime\": 2.0}").unwrap();
    let ran = it.run(&[]).exits_with(2);
    says(
        &ran.stderr,
        &[
            "no recording is left:",
            "3 × repetition time unknown or contradictory",
            "the first: repetition time: the sidecar gives 2 s, the scan's header 0.735",
            "give `t_r` to settle it",
            "runs/encode-cohort/status.tsv",
        ],
    );
    assert!(!ran.stderr.contains("sub-0"), "nobody is named: {ran}");
    let rows = status(&it, "");
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|row| row[2] == "FAIL" && row[3].contains("the sidecar gives 2 s")));
    let pipeline = it.pipeline().display().to_string();
    let told = run(&["-v", "check", &pipeline]).exits_with(2);
    says(&told.stderr, &["sub-02_task-rest: repetition time: the sidecar gives 2 s"]);
}

#[test]
fn the_mean_displacement_of_the_table_is_the_one_that_is_judged() {
    let it = encode(2, BIDS);
    it.run(&[]).exits_with(0);
    let runs = table(&it, "embeddings_runs.parquet");
    let [first, second] = [0, 1].map(|row| number(&runs, "mean_fd_mm", row));
    let limit = f64::midpoint(first, second);
    assert!((first - second).abs() > 1e-6, "{first} {second}");
    it.edit_pipeline(
        "    entities: { task: [rest] }\n",
        &format!("    qc_thresholds: {{ motion_fd_mean: {limit} }}\n"),
    );
    it.run(&[]).exits_with(0);
    let excluded: Vec<_> = status(&it, "").into_iter().filter(|row| row[2] == "EXCLUDED").collect();
    let found = first.max(second);
    assert_eq!(excluded.len(), 1);
    assert_eq!(excluded[0][3], format!("motion_fd_mean is {found:.4}, the threshold is {limit}"));
}

#[test]
fn a_ratio_that_no_table_gives_is_measured_when_the_scan_is_read() {
    let it = encode(3, BIDS);
    it.run(&[]).exits_with(0);
    let runs = table(&it, "embeddings_runs.parquet");
    let mut ratios = [0, 1, 2].map(|row| number(&runs, "median_tsnr", row));
    ratios.sort_by(f64::total_cmp);
    let limit = f64::midpoint(ratios[0], ratios[1]);
    it.edit_pipeline(
        "    entities: { task: [rest] }\n",
        &format!("    qc_thresholds: {{ min_tsnr: {limit} }}\n"),
    );
    it.run(&[]).exits_with(0);
    assert_eq!(table(&it, "embeddings.parquet").n_rows(), 2);
    let excluded: Vec<_> = status(&it, "").into_iter().filter(|row| row[2] == "EXCLUDED").collect();
    assert_eq!(excluded.len(), 1);
    assert!(excluded[0][3].starts_with(&format!("min_tsnr is {:.4}, ", ratios[0])), "{excluded:?}");
    // the stored results are judged again
    it.run(&[]).exits_with(0);
    assert_eq!(table(&it, "embeddings.parquet").n_rows(), 2);
    it.edit_pipeline(&format!("min_tsnr: {limit}"), "min_tsnr: 1000000");
    let ran = it.run(&[]).exits_with(2);
    says(
        &ran.stderr,
        &["no recording is left after stage parcellate:", "3 × beyond min_tsnr 1000000"],
    );
    assert_eq!(status(&it, "").iter().filter(|row| row[2] == "EXCLUDED").count(), 3, "{ran}");
}

#[test]
fn fold_split_and_labels_stand_in_every_table() {
    let n = 6;
    let it = encode(
        n,
        "  manifest:\n    table: people.csv\n    split:\n      stratified_group_kfold: { k: 3, seed: 1 }\n",
    );
    it.edit_pipeline("run: inverse_fd", "run: mean");
    let mut text = "eid,scan,age,site\n".to_owned();
    for person in 0..n {
        let scan = synthetic::scan_name(person);
        writeln!(text, "{:02},bids/{scan},{},{}", person + 1, 40 + person, ["A", "B"][person % 2])
            .unwrap();
    }
    fs::write(it.dir().join("people.csv"), text).unwrap();
    it.run(&[]).exits_with(0);
    let mut tested = Vec::new();
    for fold in 1..=3 {
        for name in ["embeddings.parquet", "embeddings_runs.parquet"] {
            let table = table(&it, &format!("fold-{fold}/{name}"));
            assert_eq!(table.n_rows(), n);
            for row in 0..n {
                assert_eq!(cell(&table, "fold", row), Cell::Integer(fold));
                assert_eq!(cell(&table, "age", row), Cell::Integer(40 + row as i64));
                assert_eq!(cell(&table, "site", row), Cell::Text(["A", "B"][row % 2]));
                if cell(&table, "split", row) == Cell::Text("test") && name == "embeddings.parquet"
                {
                    tested.push(row);
                }
            }
        }
        let rows = status(&it, &format!("fold-{fold}/"));
        assert!(rows.iter().all(|row| row[0] == fold.to_string()), "{rows:?}");
        assert_eq!(rows.iter().filter(|row| row[1] == "test").count(), 2, "{rows:?}");
    }
    tested.sort_unstable();
    assert_eq!(tested, [0, 1, 2, 3, 4, 5], "each person is tested once");
}

#[test]
fn windows_of_a_table_obey_the_sidecar_of_their_scan() {
    let cohort = Cohort::new();
    let sidecar = cohort.scan(3).with_file_name("bold_1slice.json");
    fs::write(&sidecar, "{\"RepetitionTime\": 2.0}").unwrap();
    let ran = cohort.run(&[]).exits_with(2);
    says(
        &ran.stderr,
        &[
            "run003/bold_1slice.nii.gz: repetition time: the sidecar gives 2 s, the scan's header 2.5 s",
        ],
    );
    says(&ran.stderr, &["`t_r` of the pairs settles it"]);
    // onsets count from the start of the scan, frames from the time that the first of them stands for
    fs::write(&sidecar, "{\"RepetitionTime\": 2.5, \"StartTime\": 100.0}").unwrap();
    let ran = cohort.run(&[]).exits_with(2);
    says(&ran.stderr, &["window at onset -85 s takes frames -32 to -24"]);
    fs::write(&sidecar, "{\"RepetitionTime\": 2.5, \"StartTime\": 1.25}").unwrap();
    cohort.run(&[]).exits_with(0);
}

#[test]
fn sites_are_made_alike_by_what_training_people_show() {
    let n = 16;
    let it = encode(
        n,
        "  manifest:\n    table: people.csv\n    split:\n      stratified_group_kfold: { k: 4, seed: 1 }\n",
    );
    it.edit_pipeline("run: inverse_fd", "run: mean");
    let stage = |site: &str| {
        format!(
            "  - harmonise: {{ combat: {{ site: {site}, keep: [age], unseen_sites: refuse }} }}\n"
        )
    };
    it.edit_pipeline("outputs:", &format!("{}outputs:", stage("scanner")));
    let mut people = "eid,scan,age,site\n".to_owned();
    for person in 0..n {
        let scan = synthetic::scan_name(person);
        // one person of a site of one's own
        let site = if person == 4 { "C" } else { ["A", "B"][person % 2] };
        let age = 40 + person * person % 11;
        writeln!(people, "{:02},bids/{scan},{age},{site}", person + 1).unwrap();
    }
    fs::write(it.dir().join("people.csv"), people).unwrap();

    let ran = it.run(&[]).exits_with(2);
    says(&ran.stderr, &["stages.harmonise: the cohort has no label scanner, expected one of age,"]);

    it.edit_pipeline(&stage("scanner"), &stage("site"));
    let ran = it.run(&[]).exits_with(1);
    says(&ran.stderr, &["sites of one training person, left out of the fit: C"]);
    for fold in 1..=4 {
        let before = table(&it, &format!("fold-{fold}/embeddings.parquet"));
        let after = table(&it, &format!("fold-{fold}/embeddings_harmonised.parquet"));
        assert_eq!((before.n_rows(), after.n_rows()), (n, n - 1), "the person of site C is out");
        assert_ne!(cell(&before, "embedding", 0), cell(&after, "embedding", 0));
        let fitted = it.result(ENCODE, &format!("fold-{fold}/harmonise.json"));
        let fitted: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(fitted).unwrap()).unwrap();
        let trained = (0..n).filter(|&row| cell(&before, "split", row) == Cell::Text("train"));
        assert_eq!(fitted["n_training_people"], trained.count());
        let rows = status(&it, &format!("fold-{fold}/"));
        let failed: Vec<_> = rows.iter().filter(|row| row[2] == "FAIL").collect();
        assert_eq!(failed.len(), 1, "{rows:?}");
        assert!(failed[0][3].contains("site C has no two training people"), "{failed:?}");
        let text =
            fs::read_to_string(it.result(ENCODE, &format!("fold-{fold}/status.tsv"))).unwrap();
        let line = text.lines().find(|line| line.contains("FAIL")).unwrap();
        assert!(line.ends_with("\ttable"), "{line}");
    }
}

/// Nothing of a page lies elsewhere, and nothing in it is run.
fn fetches_nothing(html: &str) {
    for part in ["src=\"http", "href=\"http", "src=\"//", "<script", "url(", "@import", " style="] {
        assert!(!html.contains(part), "{part}");
    }
    assert!(
        html.contains(
            "http-equiv=\"Content-Security-Policy\" content=\"default-src &#39;none&#39;;"
        )
    );
}

#[test]
fn a_cohort_has_a_page_and_everybody_a_page_of_their_own() {
    let it = Synthetic::new(4, Stored::Mixed, ENCODE);
    it.edit_pipeline("outputs:", "  - render: { people: true }\noutputs:");
    let broken = it.dir().join("bids").join(synthetic::scan_name(2));
    let bytes = fs::read(&broken).unwrap();
    fs::write(&broken, &bytes[..bytes.len() / 2]).unwrap();
    it.run(&[]).exits_with(1);
    let page = |name: &str| fs::read_to_string(it.result(ENCODE, name)).unwrap();
    let index = page("index.html");
    for person in ["01", "02", "04"] {
        let own = page(&format!("sub-{person}.html"));
        assert!(index.contains(&format!("href=\"sub-{person}.html\"")), "{person}");
        assert!(own.contains("href=\"index.html\"") && own.contains("Series of all parcels"));
        assert!(own.contains("How parcels go together") && own.contains("Median tSNR"));
        assert!(own.contains("The series are those after parcellate"), "{own}");
        assert!(own.len() < 5_000_000);
    }
    let reason = status(&it, "")[2][3].clone();
    assert_ne!(reason, "n/a");
    assert!(index.contains("failed: truncated"), "{index}");
    for html in [&index, &page("sub-03.html")] {
        let shown = reason.replace('\'', "&#39;");
        assert!(html.contains(&shown), "{reason} is not told");
        assert!(html.matches(DISCLAIMER).count() >= 2);
        fetches_nothing(html);
        assert!(!html.contains("NaN"));
    }
    let again = it.run(&[]).exits_with(1);
    assert_eq!(page("index.html"), index, "{again}");
}

#[test]
fn a_persons_page_is_drawn_again_only_where_it_would_change() {
    let it = Synthetic::new(4, Stored::Mixed, ENCODE);
    it.write_pipeline(
        "name: pages\nseed: 1\ncohort: { bids: { dir: bids, entities: { task: [rest] } } }\nstages:\n  \
         - parcellate: { atlas: { id: s, labels: atlas/synthetic424.nii.gz } }\n  - render: { people: true }\n\
         outputs: runs\n",
    );
    let broken = it.dir().join("bids").join(synthetic::scan_name(2));
    let bytes = fs::read(&broken).unwrap();
    fs::write(&broken, &bytes[..bytes.len() / 2]).unwrap();
    it.run(&[]).exits_with(1);
    let pages = || -> Vec<_> {
        let units = fs::read_dir(it.dir().join("runs/cache/render/scans")).unwrap();
        let units = units.map(|it| it.unwrap().path());
        units.map(|it| (fs::metadata(&it).unwrap().modified().unwrap(), it)).collect()
    };
    let before = pages();
    assert_eq!(before.len(), 4, "who has no recording has a page that says why");
    fs::write(&broken, bytes).unwrap();
    it.run(&[]).exits_with(0);
    let after = pages();
    assert_eq!(after.len(), 5);
    assert!(before.iter().all(|it| after.contains(it)), "the others are taken as they are");
    let page = fs::read_to_string(it.result("pages", "sub-03.html")).unwrap();
    for part in ["Where the scan lies", "Series of all parcels", "Coverage of the parcels"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(page.contains("Errors and exclusions</h2>\n<p>None"), "{page}");
}
