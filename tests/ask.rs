//! Questions with allowed answers, asked of a trained package about cohorts: numbers against those of `score`, the
//! table, the pages, and what is refused, with the real program.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tests::{Ran, root, run, run_until};

/// A package that was trained a little, and pipelines that ask it.
struct Asked {
    dir: tempfile::TempDir,
    model: PathBuf,
}

type Row = BTreeMap<String, String>;

impl Asked {
    /// Trains `pipeline` into a folder of the test's own.
    fn new(pipeline: &str, sets: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (path, outputs) = (
            format!("pipelines/{pipeline}.yaml"),
            format!("outputs={}", dir.path().join("runs").display()),
        );
        let sets = sets.iter().copied().chain([outputs.as_str()]).flat_map(|it| ["--set", it]);
        let _ =
            run(&["run", path.as_str()].into_iter().chain(sets).collect::<Vec<_>>()).exits_with(0);
        let model = dir.path().join("runs").join(pipeline).join("model");
        Self { dir, model }
    }

    fn windows() -> Self {
        let few = ["stages.finetune.steps=10", "stages.evaluate.max_pairs=28"];
        let asked = Self::new("quickstart-short", &few);
        asked.write("pairs.csv", &table(&["category"]));
        asked.write("told.csv", &table(&["told"]));
        asked.write("plain.csv", &table(&[]));
        asked
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// A pipeline that asks about a cohort.
    fn pipeline(&self, cohort: &str, questions: &str) -> String {
        let text = format!(
            "name: asked\nseed: 3\ncohort:\n  {cohort}\npackage: {}\nstages:\n  - ask:\n      batch_size: 5\n      max_pairs: 200\n      \
             questions:\n{questions}\n  - render: {{}}\noutputs: runs\n",
            self.model.display()
        );
        self.write("asked.yaml", &text);
        self.path("asked.yaml").display().to_string()
    }

    fn rows(&self) -> Vec<Row> {
        let path = self.path("runs/asked/answers.csv");
        csv::Reader::from_path(path).unwrap().deserialize().map(Result::unwrap).collect()
    }

    /// A file of the run.
    fn json(&self, name: &str) -> Value {
        let path = self.path("runs/asked").join(name);
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    }

    fn refused(&self, cohort: &str, questions: &str) -> String {
        let pipeline = self.pipeline(cohort, questions);
        let ran = run(&["check", &pipeline]).exits_with(2);
        ran.one_error().clone()
    }
}

const OF_WINDOWS: &str = "pairs: { table: pairs.csv, split_unit: scan, prompt: '{technique}' }";

const CATEGORY: &str = "        - id: category
          words: \"Technique: {technique}\\n\"
          answers: [faces, houses, cats, shoes]
          truth: category";

/// The table of the quickstart with further columns: what was seen, and the same in a sentence.
fn table(further: &[&str]) -> String {
    let folder = root().join("fixtures/haxby2001");
    let mut reader = csv::Reader::from_path(folder.join("pairs.csv")).unwrap();
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut headers = reader.headers().unwrap().clone();
    further.iter().for_each(|it| headers.push_field(it));
    writer.write_record(&headers).unwrap();
    for row in reader.records().map(Result::unwrap) {
        let categories = ["faces", "houses", "cats", "shoes"];
        let category = categories.iter().find(|it| row[5].contains(**it)).unwrap_or(&"n/a");
        let scan = folder.join(&row[2]).display().to_string();
        let cells = row.iter().enumerate().map(|(at, cell)| if at == 2 { &scan } else { cell });
        let told = format!("saw {category}");
        let further =
            further.iter().map(|it| if *it == "told" { told.as_str() } else { *category });
        writer.write_record(cells.chain(further)).unwrap();
    }
    String::from_utf8(writer.into_inner().unwrap()).unwrap()
}

fn number(row: &Row, column: &str) -> f64 {
    row[column].parse().unwrap()
}

/// Probabilities of answers after a prompt of `score`.
fn scored(model: &Path, prompt: &[&str], answers: &[String]) -> Vec<f64> {
    let model = model.display().to_string();
    let answers = answers.iter().flat_map(|it| ["--continuation", it.as_str()]);
    let start = ["score", "--model", &model, "--sum", "--json"];
    let words: Vec<&str> = start.into_iter().chain(prompt.iter().copied()).chain(answers).collect();
    let found: Value = serde_json::from_str(&run(&words).exits_with(0).stdout).unwrap();
    let all = found["continuations"].as_array().unwrap().iter();
    all.map(|it| it["probability"].as_f64().unwrap()).collect()
}

#[test]
fn answers_have_the_probabilities_of_score_and_controls_beside_them() {
    let asked = Asked::windows();
    let pipeline = asked.pipeline(OF_WINDOWS, CATEGORY);
    let plan = run(&["check", &pipeline]).exits_with(0).stdout;
    assert!(plan.contains("asked about 96 windows: 1 question"), "{plan}");
    let ran = run(&["run", &pipeline]).exits_with(0);
    let rows = asked.rows();
    assert_eq!(rows.len(), 96 * 4);
    // a test window, by what the command for one scan says: the same words, the same answers
    let place = rows.iter().position(|it| it["trained_on"] == "false").unwrap();
    let of_window = &rows[place..place + 4];
    let run_name =
        format!("fixtures/haxby2001/run0{}/bold_1slice.nii.gz", of_window[0]["session_id"]);
    let scan = root().join(run_name).display().to_string();
    let answers: Vec<String> = of_window.iter().map(|it| it["answer"].clone()).collect();
    let window = of_window[0]["window"].clone();
    let expected = scored(&asked.model, &["--scan", &scan, "--window", &window], &answers);
    let own: Vec<f64> = of_window.iter().map(|it| number(it, "probability")).collect();
    for (found, expected) in own.iter().zip(&expected) {
        assert!((found - expected).abs() < 1e-5, "{own:?} {expected:?}");
    }
    // without the scan, after the same words
    let report = asked.model.display().to_string();
    let said =
        run(&["generate", "--model", &report, "--scan", &scan, "--window", &window, "--json"]);
    let said: Value = serde_json::from_str(&said.exits_with(0).stdout).unwrap();
    let prompt = said["prompt"].as_str().unwrap();
    let expected = scored(&asked.model, &["--prompt", prompt], &answers);
    let without: Vec<f64> = of_window.iter().map(|it| number(it, "no_scan")).collect();
    for (found, expected) in without.iter().zip(&expected) {
        assert!((found - expected).abs() < 1e-5, "{without:?} {expected:?}");
    }
    // one person: others are other scans, and nothing says otherwise; every distribution sums to one
    let others = match asked.json("metrics.json")["other_scans"].as_str() {
        Some("scans") => "other scans",
        Some("windows") => "other windows",
        found => panic!("{found:?}"),
    };
    assert!(rows.iter().any(|it| !it["other_scans"].is_empty()));
    for four in rows.chunks(4) {
        // a window whose scan was exchanged with nobody's has no others
        let is_known = |column: &&str| !four[0][*column].is_empty();
        for column in ["probability", "no_scan", "other_scans"].into_iter().filter(is_known) {
            let sum: f64 = four.iter().map(|it| number(it, column)).sum();
            assert!((sum - 1.0).abs() < 1e-6, "{column} {four:?}");
        }
        let most = four.iter().map(|it| number(it, "probability")).fold(0.0, f64::max);
        let given: Vec<&Row> = four.iter().filter(|it| it["is_given"] == "true").collect();
        assert!(given.len() == 1 && (number(given[0], "probability") - most).abs() < 1e-12);
    }
    // scores by hand, of windows that were not trained on and whose truth is known
    let known: Vec<&[Row]> = rows
        .chunks(4)
        .filter(|it| it[0]["trained_on"] == "false" && !it[0]["is_true"].is_empty())
        .collect();
    let is_right =
        |four: &&&[Row]| four.iter().any(|it| it["is_given"] == "true" && it["is_true"] == "true");
    let metrics = asked.json("metrics.json");
    let question = &metrics["questions"][0];
    assert_eq!(question["scores"]["n_windows"].as_u64(), Some(known.len() as u64));
    let accuracy = known.iter().filter(is_right).count() as f64 / known.len() as f64;
    let found = question["scores"]["accuracy"]["estimate"].as_f64().unwrap();
    assert!((found - accuracy).abs() < 1e-12 && known.len() >= 8, "{found} {accuracy}");
    let line = question["verdict"].as_str().unwrap();
    assert!(line.starts_with("SCAN-DEPENDENT: ") && ran.stdout.contains(line), "{ran}");
    let record = asked.json("record.json");
    assert_eq!(
        (record["verdict"].as_str(), &record["package"]["model_id"]),
        (Some(line), &metrics["model_id"])
    );
    // the pages show it
    let page = fs::read_to_string(asked.path("runs/asked/index.html")).unwrap();
    assert!(page.contains("<h2 id=\"answers\">") && page.contains("SCAN-DEPENDENT: "), "{page}");
    assert!(page.contains("Windows and people with a known answer"), "{page}");
    let person = fs::read_to_string(asked.path("runs/asked/sub-1.html")).unwrap();
    assert!(person.matches("<td>houses</td>").count() == 96, "{person}");
    assert!(person.contains(others) && !person.contains("other people’s scans"));
    assert!(page.contains(&format!("Answers that change with {others}")), "{page}");
    // and nothing is done twice
    let again = run(&["run", &pipeline]).exits_with(0);
    let record = asked.json("record.json");
    let stages = record["stages"].as_array().unwrap();
    let stage = stages.iter().find(|it| it["stage"] == "ask").unwrap();
    assert_eq!(stage["stored"], true, "{stage}\n{again}");
}

#[test]
fn a_stopped_run_goes_on_after_the_answers_that_it_has() {
    let asked = Asked::windows();
    let two = CATEGORY.replace("id: category", "id: second");
    let pipeline = asked.pipeline(OF_WINDOWS, &format!("{CATEGORY}\n{two}"));
    // the first question is answered, the second is not
    let ran = run_until(&["run", &pipeline], "ask: category: ", "TERM");
    assert_eq!(ran.code, Some(75), "{ran}");
    let states: Vec<PathBuf> = tests::files_below(&asked.path("runs/cache/ask"));
    let is_kept = |path: &&PathBuf| {
        path.file_name().is_some_and(|it| it.to_string_lossy().starts_with("question-"))
    };
    let parts: Vec<PathBuf> = states.iter().filter(is_kept).cloned().collect();
    assert!(!parts.is_empty(), "{states:?}");
    let times = |parts: &[PathBuf]| -> Vec<_> {
        parts.iter().map(|it| fs::metadata(it).unwrap().modified().unwrap()).collect()
    };
    let before = times(&parts);
    let ran = run_until(&["run", &pipeline], "ask: category: ", "TERM");
    assert_eq!((ran.code, times(&parts)), (Some(75), before), "{ran}");
    let _ = run(&["run", &pipeline]).exits_with(0);
    // the same words and answers have the same probabilities
    let rows = asked.rows();
    let (first, second) = rows.split_at(rows.len() / 2);
    for (a, b) in first.iter().zip(second) {
        assert_eq!((&a["probability"], &a["other_scans"]), (&b["probability"], &b["other_scans"]));
    }
}

#[test]
fn recordings_of_another_cohort_are_asked_about_as_wholes() {
    let few = ["stages.finetune.steps=2", "stages.finetune.validate_every=2"];
    let asked = Asked::new("swap-encoders", &few);
    let bids = root().join("fixtures/synthetic/bids").display().to_string();
    let cohort = format!("bids: {{ dir: {bids}, entities: {{ task: [rest] }} }}");
    let questions = "        - id: sex
          words: \"A person aged {age}, sex\"
          answers: [M, F]
          truth: sex
        - { id: free, words: 'A person who is', answers: [old, young] }";
    let pipeline = asked.pipeline(&cohort, questions);
    let ran = run(&["run", &pipeline]).exits_with(0);
    assert!(
        ran.stdout.contains("16 of 24 windows are of scans that the model was trained on"),
        "{ran}"
    );
    assert!(ran.stdout.contains("free: no verdict, because no column says the truth"), "{ran}");
    let rows = asked.rows();
    assert_eq!((rows.len(), rows[0]["window"].as_str()), (24 * 2 * 2, ""));
    let people =
        fs::read_to_string(root().join("fixtures/synthetic/bids/participants.tsv")).unwrap();
    for line in people.lines().skip(1) {
        let cells: Vec<&str> = line.split('\t').collect();
        let is_true = |it: &&Row| {
            it["question"] == "sex"
                && format!("sub-{}", it["participant_id"]) == cells[0]
                && it["is_true"] == "true"
        };
        let truth: Vec<&str> =
            rows.iter().filter(is_true).map(|it| it["answer"].as_str()).collect();
        assert_eq!(truth, [cells[2]], "{line}");
    }
    assert!(rows.iter().filter(|it| it["question"] == "free").all(|it| it["is_true"].is_empty()));
    // what is wrong with a cohort or its columns is said before a scan is opened
    let refused = |questions: &str| asked.refused(&cohort, questions);
    let one = |words: &str, answers: &str, truth: &str| {
        format!("        - {{ id: q, words: \"{words}\", answers: {answers}{truth} }}")
    };
    for (question, expected) in [
        (one("Aged {years}:", "[a, b]", ""), "names the column years, expected one of age, "),
        (
            one("Sex:", "[male, female]", ", truth: sex"),
            "column sex holds \"F\", which is no allowed answer to question q",
        ),
        (
            one("Sex {sex}:", "[M, F]", ", truth: sex"),
            "question q states the column sex, which holds its answers",
        ),
        (one("Sex {sex}:", "[M, F]", ""), "of which a cell holds the answer"),
        (one("Side {stronger_side}:", "[left, right]", ""), "of which a cell holds the answer"),
    ] {
        let found = refused(&question);
        assert!(found.contains(expected), "{expected}\n{found}");
    }
    // the same package of which another training is said is asked again
    let manifest = asked.model.join("model.yaml");
    let text = fs::read_to_string(&manifest).unwrap();
    let digests = "scans_sha256:";
    assert!(text.contains(digests), "{text}");
    fs::write(&manifest, text.replace(digests, "scans_sha256_before:")).unwrap();
    let pipeline = asked.pipeline(&cohort, questions);
    let ran = run(&["run", &pipeline]).exits_with(0);
    assert!(!ran.stdout.contains("that the model was trained on"), "{ran}");
    assert!(asked.rows().iter().all(|it| it["trained_on"] == "false"));
}

#[test]
fn questions_that_cannot_be_asked_are_refused_in_one_sentence() {
    let asked = Asked::windows();
    let refused = |questions: &str| {
        let name = if questions.contains("truth: category") { "pairs.csv" } else { "plain.csv" };
        let name = if questions.contains("{told}") { "told.csv" } else { name };
        asked.refused(&OF_WINDOWS.replace("pairs.csv", name), questions)
    };
    let one = |id: &str, words: &str, answers: &str| {
        format!("        - {{ id: {id}, words: \"{words}\", answers: {answers} }}")
    };
    let long = "word ".repeat(3000);
    for (questions, expected) in [
        (one("a", "Seen:", "[faces]"), "question a allows 1 answer, expected at least two"),
        (one("a", "Seen:", "[faces, faces]"), "question a allows the answer \"faces\" twice"),
        (one("a", "Seen:", "[faces, '']"), "question a allows the answer \"\""),
        (one("a", "Seen:", "[faces, ' cats']"), "without a blank around them"),
        (one("'a b'", "Seen:", "[faces, cats]"), "the id \"a b\", expected letters"),
        (
            format!("{}\n{}", one("a", "S:", "[x, y]"), one("a", "T:", "[x, y]")),
            "two questions with the id a",
        ),
        (one("a", "Seen:", "[faces, faces and cats]"), "begin with the same tokens"),
        (one("a", "Seen <image>:", "[faces, cats]"), "holds the token `<image>`"),
        (one("a", " ", "[faces, cats]"), "says nothing, expected its words"),
        (one("a", "{technique}{technique}", "[faces, cats]"), "2 placeholders {technique}"),
        (one("a", "Told {told}:", "[faces, cats]"), "a cell holds the answer"),
        (
            one("a", "Told {nothing}:", "[faces, cats]"),
            "column nothing is missing, which a question names",
        ),
        (
            one("a", &long, "[faces, cats]"),
            "tokens with its longest answer, the language model reads",
        ),
        (
            CATEGORY.replace("[faces, houses, cats, shoes]", "[faces, houses]"),
            "which is no allowed answer to question category",
        ),
        ("        []".to_owned(), "has no questions, expected at least one"),
    ] {
        let found = refused(&questions);
        assert!(found.contains(expected), "{expected}\n{found}");
    }
    // under the mean of tokens a beginning is another answer
    let plain = OF_WINDOWS.replace("pairs.csv", "plain.csv");
    let mean = asked.pipeline(&plain, &one("a", "Seen:", "[faces, faces and cats]"));
    let _ = run(&["check", &mean, "--set", "stages.ask.rank_by=mean"]).exits_with(0);
    let with = |ran: Ran| ran.exits_with(2).one_error().clone();
    // a cohort without events, a package that is not there, another package, repetitions
    let bids = root().join("fixtures/synthetic/bids").display().to_string();
    let whole = asked.refused(&format!("bids: {{ dir: {bids} }}"), &one("a", "S:", "[x, y]"));
    assert!(whole.contains("sees windows of events, and cohort.bids has none"), "{whole}");
    let fine = asked.pipeline(OF_WINDOWS, CATEGORY);
    let captioner = format!("package={}", root().join("fixtures/tiny-captioner").display());
    let found = with(run(&["check", &fine, "--set", &captioner]));
    assert!(
        found.contains("the package reads") && found.contains("expected one for scans"),
        "{found}"
    );
    let found = with(run(&["check", &fine, "--set", "repeat={seeds: [1, 2]}"]));
    assert!(found.contains("asks about every scan once, and 2 runs are to be made"), "{found}");
    let text = fs::read_to_string(&fine).unwrap();
    let without: Vec<_> = text.lines().filter(|it| !it.starts_with("package")).collect();
    fs::write(&fine, without.join("\n")).unwrap();
    let found = with(run(&["check", &fine]));
    assert!(found.contains("stage ask needs the section package"), "{found}");
    // a window beyond the end of its scan
    let table = fs::read_to_string(asked.path("pairs.csv")).unwrap();
    asked.write("pairs.csv", &table.replacen(",15,22.5,", ",9999,22.5,", 1));
    let found = asked.refused(OF_WINDOWS, CATEGORY);
    assert!(found.contains("row 2: "), "{found}");
}
