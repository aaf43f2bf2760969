//! Typed slots and free text from the table to the verdict, on the quickstart with too little training.

use std::{fs, path::Path};

use serde_json::Value;
use tests::{Ran, root, run};

const TYPED: &str = "
scored: [viewed, domain, load]
slots:
  - name: viewed
    section: findings
    lead: The ventral temporal pattern fits viewing of
    choice: { bottle: [bottles], cat: [cats], chair: [chairs], face: [faces], house: [houses], scissors: [scissors], scrambledpix: [scrambled pictures], shoe: [shoes] }
  - name: domain
    section: findings
    lead: The stimulus domain is
    ordinal: { patterns: [patterns], objects: [objects], places: [places], living: [living things] }
    abnormal: [living]
    max_error: 0.5
  - name: load
    section: findings
    lead: Mean load
    number: { unit: mm, range: [0, 10], decimals: 1, bins: [5] }
    about: [mean load]
    truth: { column: load }
";

/// The short quickstart on a copy of its table; `slots` takes the place of its line, `row` of each row.
fn pipeline(dir: &Path, slots: &str, header: &str, row: impl Fn(usize, &str) -> String) -> String {
    let fixtures = root().join("fixtures");
    let text = fs::read_to_string(root().join("pipelines/quickstart-short.yaml")).unwrap();
    let table = fs::read_to_string(fixtures.join("haxby2001/pairs.csv")).unwrap();
    let lead = format!("{}/haxby2001/run", fixtures.display());
    let mut rows = csv_records(&table).into_iter();
    let mut csv = format!("{}{header}\n", rows.next().unwrap());
    for (idx, record) in rows.enumerate() {
        csv += &row(idx, &record.replacen(",run", &format!(",{lead}"), 1));
        csv.push('\n');
    }
    fs::write(dir.join("pairs.csv"), csv).unwrap();
    let text = text
        .replace("../fixtures/haxby2001/pairs.csv", "pairs.csv")
        .replace("    slots: { file: ../configs/slots/haxby_v1.yaml }\n", slots)
        .replace("../configs", &root().join("configs").display().to_string())
        .replace("../fixtures", &fixtures.display().to_string())
        .replace("outputs: ../runs", "outputs: runs");
    let path = dir.join("short.yaml");
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// Records of a table whose reports have line breaks.
fn csv_records(table: &str) -> Vec<String> {
    let mut records: Vec<String> = Vec::new();
    let mut open = false;
    for line in table.lines() {
        match records.last_mut().filter(|_| open) {
            Some(record) => record.extend(["\n", line]),
            None => records.push(line.to_owned()),
        }
        open ^= line.matches('"').count() % 2 == 1;
    }
    records
}

fn go(pipeline: &str) -> Ran {
    go_with(pipeline, &[])
}

fn go_with(pipeline: &str, more: &[&str]) -> Ran {
    let sets = [
        "stages.finetune.steps=6",
        "stages.finetune.batch_size=4",
        "stages.finetune.validate_every=2",
        "stages.generate.max_new_tokens=40",
    ];
    let sets = sets.iter().chain(more).flat_map(|set| ["--set", set]);
    run(&["run", pipeline].into_iter().chain(sets).collect::<Vec<_>>())
}

fn metrics(dir: &Path) -> Value {
    let path = dir.join("runs/quickstart-short/metrics.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn several_slots_are_scored_and_each_has_its_statements() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("typed.yaml"), TYPED).unwrap();
    let slots = "    slots: { file: typed.yaml }\n";
    let load = |idx: usize| {
        if idx.is_multiple_of(3) { "n/a".to_owned() } else { format!("{}.5", idx % 9) }
    };
    let path = pipeline(dir.path(), slots, ",load,sex,age", |idx, record| {
        format!("{record},{},M,90+", load(idx))
    });
    let ran = go(&path).exits_with(0);
    let found = metrics(dir.path());
    assert_eq!(found["scored_slot"], "viewed");
    assert_eq!(found["scored_slots"].as_array().unwrap().len(), 3);
    let slots = found["statements"]["slots"].as_array().unwrap();
    let kinds: Vec<&str> = slots.iter().map(|it| it["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["choice", "ordinal", "number"]);
    assert_eq!(slots[0]["n_truth"], 16);
    // what no report states has an error of none, and what has no truth cannot be omitted
    assert_eq!(slots[2]["number"]["mae"], Value::Null);
    assert!(slots[2]["n_truth"].as_u64().unwrap() < 16 && slots[2]["n_right"] == 0);
    assert!(slots[0]["calibration"]["risk_coverage"]["area"].is_number());
    assert!(slots[2].get("calibration").is_none());
    // a temperature each, and what is sure enough of the slot that asks for it
    let fitted = &found["fit"]["slots"];
    let temperature = |slot: &str| fitted[slot]["temperature"]["value"].as_f64().unwrap();
    assert_ne!(temperature("viewed"), temperature("domain"));
    assert_eq!(found["fit"]["temperature"], fitted["viewed"]["temperature"]);
    let determined = &slots[1]["determined"];
    assert_eq!(determined["least"], fitted["domain"]["not_determined_below"]);
    assert!(slots[0].get("determined").is_none() && fitted.get("load").is_none());
    let dir_of_run = dir.path().join("runs/quickstart-short");
    let reports = reports(dir.path());
    let sure = reports.iter().filter(|report| {
        let slot = &report["slots"][1];
        assert_eq!(slot["not_determined_below"], determined["least"]);
        slot["confidence"].as_f64() >= determined["least"].as_f64() && slot["stated"].is_string()
    });
    assert_eq!(determined["n"], sure.count());
    // the package says the same of one scan
    let package = fs::read_to_string(dir_of_run.join("model/model.yaml")).unwrap();
    assert!(
        package.contains("slot_trust") && package.contains("not_determined_below"),
        "{package}"
    );
    // scans of others: of anybody, of people who match, and of the same label
    let conditions = found["evidence"]["conditions"].as_array().unwrap();
    let names: Vec<&str> = conditions.iter().map(|it| it["name"].as_str().unwrap()).collect();
    let others = "another run's scan";
    let matched = format!("{others} of the same sex and age");
    assert_eq!(names[..2], [others, &matched]);
    assert_eq!(conditions[1]["n_windows"], 16);
    assert_eq!(conditions[0]["likelihood_gain"], conditions[1]["likelihood_gain"]);
    assert!(ran.stdout.contains(&format!("\n{matched}")), "{}", ran.stdout);
    let n_missing = (16 - slots[2]["n_truth"].as_u64().unwrap()).to_string();
    let note = format!(
        "slot load: {n_missing} of 16 test windows have no true value; their other slots count"
    );
    assert!(found["notes"].as_array().unwrap().contains(&note.as_str().into()));
    assert!(ran.stdout.contains(&format!("{note}\n")), "{}", ran.stdout);
    assert_eq!(found["answers"].as_array().unwrap().len(), 3);
    assert_eq!(found["copying"]["n"], 16);
    assert!(found["statements"]["together"]["micro"]["recall"].is_number());
    assert!(ran.stdout.contains("\nstatements "), "{}", ran.stdout);
    assert!(ran.stdout.contains("\nall scored slots: F1 "), "{}", ran.stdout);
    let page = fs::read_to_string(dir.path().join("runs/quickstart-short/index.html")).unwrap();
    assert!(page.contains("<h2>Statements</h2>") && page.contains("mean of 3 scored slots"));
    // truth and statement of a bin are one
    let truth = found["windows"][1]["truth"].as_str().unwrap();
    assert!(
        truth.contains("; ")
            && (truth.contains("below 5")
                || truth.contains("5 and above")
                || truth.contains("not stated")),
        "{truth}"
    );
}

/// The reports of the test windows.
fn reports(dir: &Path) -> Vec<Value> {
    let paths = tests::files_below(&dir.join("runs/quickstart-short")).into_iter();
    let paths = paths.filter(|it| it.to_string_lossy().ends_with("desc-generated_report.json"));
    paths.map(|it| serde_json::from_str(&fs::read_to_string(it).unwrap()).unwrap()).collect()
}

#[test]
fn reports_may_be_kept_to_what_the_slots_can_say() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("typed.yaml"), TYPED).unwrap();
    let slots = "    slots: { file: typed.yaml }\n";
    let path = pipeline(dir.path(), slots, ",load", |_, record| format!("{record},1.5"));
    let kept_to = ["stages.generate.constrain=slots", "stages.generate.max_new_tokens=80"];
    go_with(&path, &kept_to).exits_with(0);
    let found = reports(dir.path());
    assert_eq!(found.len(), 16);
    for report in &found {
        let text = report["text"].as_str().unwrap();
        // a model of six steps, and yet every slot is stated once, in its canonical words
        let rest = text.strip_prefix("Findings: The ventral temporal pattern fits viewing of ");
        let (viewed, rest) = rest.unwrap().split_once(". The stimulus domain is ").unwrap();
        let (domain, load) = rest.split_once(". Mean load ").unwrap();
        let load = load.strip_suffix(" mm.").unwrap();
        assert!(load.parse::<f64>().is_ok_and(|it| (0.0..=10.0).contains(&it)), "{text}");
        assert_eq!(load.split_once('.').unwrap().1.len(), 1, "{text}");
        for (slot, words) in [(0, viewed), (1, domain)] {
            let slot = &report["slots"][slot];
            let of_values = slot["probabilities"].as_object().unwrap();
            let sum: f64 = of_values.values().map(|it| it.as_f64().unwrap()).sum();
            assert!((sum - 1.0).abs() < 1e-6, "{slot:#}");
            // the value that is written is the likeliest
            let stated = slot["stated"].as_str().unwrap();
            let most = of_values.values().filter_map(Value::as_f64).fold(0.0, f64::max);
            assert_eq!(of_values[stated].as_f64().unwrap(), most, "{words} {slot:#}");
        }
        assert_eq!(report["slots"][2]["stated"], load);
    }
    // one scan alone is written about in the same way
    let model = dir.path().join("runs/quickstart-short/model").display().to_string();
    let scan = root().join("fixtures/haxby2001/run011/bold_1slice.nii.gz").display().to_string();
    let words = ["generate", "--model", &model, "--scan", &scan, "--window", "3"];
    let ran = run(&[&words[..], &["--constrain", "slots"]].concat()).exits_with(0);
    assert!(ran.stdout.contains("Findings: The ventral temporal pattern fits viewing of "));

    // what the model writes by itself is left, and its values are those of slots
    let mixed = ["stages.generate.constrain=mixed"];
    go_with(&path, &mixed).exits_with(0);
    let found = reports(dir.path());
    let lead = "The stimulus domain is ";
    let values = ["patterns.", "objects.", "places.", "living things."];
    let texts = found.iter().map(|it| it["text"].as_str().unwrap());
    let after: Vec<&str> = texts.filter_map(|it| Some(it.split_once(lead)?.1)).collect();
    assert!(!after.is_empty(), "{found:#?}");
    assert!(after.iter().all(|it| values.iter().any(|value| it.starts_with(value))), "{after:#?}");
    let short = go_with(&path, &[kept_to[0]]).exits_with(2).one_error();
    tests::says(&short, &["max_new_tokens is 40, expected at least", "slots' sentences take"]);
    let drawn = go_with(&path, &[kept_to[0], "stages.generate.top_k=4"]).exits_with(2).one_error();
    tests::says(&drawn, &["top_k is a setting beside `constrain`"]);
    let faults = [mixed[0], "model.compat=open_flamingo"];
    let faults = go_with(&path, &faults).exits_with(2).one_error();
    tests::says(&faults, &["constrain is mixed, expected a model without `compat"]);
}

#[test]
fn prompts_may_state_what_is_known_of_a_person() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("typed.yaml"), TYPED).unwrap();
    let slots = "    slots: { file: typed.yaml }\n";
    let path = pipeline(dir.path(), slots, ",load,age,indication", |idx, record| {
        let age = if idx % 2 == 0 { "90+" } else { "n/a" };
        format!("{record},1.5,{age},pain {idx}")
    });
    let of = |prompt: &str| format!("cohort.pairs.prompt=\"{{technique}} {prompt}\\n\"");
    let told = of("Age {age}, indication: {indication}.");
    go_with(&path, &[&told]).exits_with(0);
    let found = reports(dir.path());
    assert_eq!(found.len(), 16);
    let n_given = found.iter().filter(|it| it["given"]["age"] == "90+").count();
    assert!(n_given > 0 && n_given < 16, "{n_given}");
    for report in &found {
        let indication = report["given"]["indication"].as_str().unwrap();
        let age = report["given"]["age"].as_str().unwrap_or("not given");
        let expected = format!(" Age {age}, indication: {indication}.\n");
        assert!(report["prompt"].as_str().unwrap().ends_with(&expected), "{report:#}");
    }
    // the same for one scan, of which nothing is known unless it is said
    let model = dir.path().join("runs/quickstart-short/model").display().to_string();
    let scan = root().join("fixtures/haxby2001/run011/bold_1slice.nii.gz").display().to_string();
    let words = ["generate", "--model", &model, "--scan", &scan, "--window", "3", "--json"];
    let with = |more: &[&str]| run(&[&words[..], more].concat());
    let ran = with(&["--given", "age=34"]).exits_with(0);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let prompt = report["prompt"].as_str().unwrap();
    assert!(prompt.ends_with(" Age 34, indication: not given.\n"), "{prompt}");
    let empty = with(&["--given", "age=n/a"]).exits_with(0);
    assert!(empty.stdout.contains("Age not given"), "{empty}");
    let twice = with(&["--given", "age=1", "--given", "age=2"]).exits_with(2).one_error();
    tests::says(&twice, &["--given says age twice"]);
    let token = with(&["--given", "age=<image>"]).exits_with(2).one_error();
    tests::says(&token, &["age holds the token `<image>`"]);
    let refused = with(&["--given", "weight=80"]).exits_with(2).one_error();
    tests::says(&refused, &["has no place for weight", "expected age or indication"]);

    let refused = |prompt: &str| go_with(&path, &[&of(prompt)]).exits_with(2).one_error();
    tests::says(&refused("Load {load}."), &["states the column load, by which slot load is true"]);
    tests::says(
        &refused("{weight} {age} {indication}"),
        &["column weight is missing, which the prompt states"],
    );
    tests::says(&refused("{report}"), &["unknown placeholder {report}"]);
    // a cell may say what reports are to state, and no template does
    let path = pipeline(dir.path(), slots, ",load,indication", |_, record| {
        format!("{record},1.5,The stimulus domain is objects.")
    });
    let leaks = go_with(&path, &[&of("{indication}")]).exits_with(2).one_error();
    tests::says(&leaks, &["states objects of slot domain", "--set cohort.pairs.prompt"]);
}

#[test]
fn a_share_of_errors_is_asked_of_slots_with_probabilities() {
    let dir = tempfile::tempdir().unwrap();
    let ask = |of: &str, by: &str| {
        fs::write(dir.path().join("typed.yaml"), TYPED.replace(of, &format!("{by}\n{of}")))
            .unwrap();
        let slots = "    slots: { file: typed.yaml }\n";
        let path = pipeline(dir.path(), slots, ",load", |_, record| format!("{record},1.5"));
        go(&path).exits_with(2).one_error()
    };
    let refused = ask("    truth: { column: load }", "    max_error: 0.1");
    tests::says(
        &refused,
        &["slot load: max_error is 0.1, expected above 0 and below 1, of a slot"],
    );
    let refused = ask("  - name: domain", "    max_error: 1.5");
    tests::says(&refused, &["slot viewed: max_error is 1.5"]);
}

#[test]
fn rows_without_truth_are_written_and_not_measured() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("typed.yaml"), TYPED.replace("[viewed, domain, load]", "[load]"))
        .unwrap();
    let slots = "    slots: { file: typed.yaml }\n";
    let missing = |idx: usize| idx.is_multiple_of(3);
    let load = |idx: usize| {
        if missing(idx) { "n/a".to_owned() } else { format!("{}.5", idx % 8) }
    };
    let path =
        pipeline(dir.path(), slots, ",load", |idx, record| format!("{record},{}", load(idx)));
    let ran = go(&path).exits_with(0);
    let found = metrics(dir.path());
    let n = found["windows"].as_array().unwrap().len();
    assert_eq!((n, &found["evidence"]["retrieval"]["n"]), (11, &11.into()));
    assert!(found["windows"].as_array().unwrap().iter().all(|it| it["truth"] != ""));
    // all are written
    assert_eq!((&found["texts"]["n"], &found["copying"]["n"]), (&16.into(), &16.into()));
    let note = "5 of 16 test windows have no true value of any scored slot: their reports are written, and \
                not measured\n";
    assert!(ran.stdout.contains(note), "{}", ran.stdout);
    // where nobody has a truth nothing can be measured
    let path = pipeline(dir.path(), slots, ",load", |idx, record| {
        let is_test = record.ends_with(",test");
        format!("{record},{}", if is_test { "n/a".to_owned() } else { load(idx) })
    });
    let said = run(&["check", &path]).exits_with(2).stderr;
    let expected =
        "split test: no row has a true value of a scored slot, expected two different ones";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn free_text_is_judged_by_its_likeness() {
    let dir = tempfile::tempdir().unwrap();
    let path = pipeline(dir.path(), "", "", |_, record| record.to_owned());
    // whitening looks for noise within the values of a slot
    let refused = go(&path).exits_with(2);
    assert!(
        refused.stderr.contains("no slot is scored, within whose values whiten looks for noise")
    );
    let text = fs::read_to_string(&path).unwrap();
    let text = text.replace("  - whiten: { shrinkage: { fixed: 0.3 } }\n", "");
    let text = text.replace("      auxiliary: { weight: 0.5, batch_size: 64 }\n", "");
    fs::write(&path, text.replace("class_averaging: 0.5", "class_averaging: 0.0")).unwrap();
    let mixed = go_with(&path, &["stages.generate.constrain=mixed"]).exits_with(2).one_error();
    tests::says(&mixed, &["constrain is mixed, expected `cohort.pairs.slots`"]);
    let ran = go(&path).exits_with(0);
    let found = metrics(dir.path());
    assert_eq!(
        (&found["scored_slot"], &found["evidence"]["measure"]),
        (&"".into(), &"rouge_l".into())
    );
    assert!(found.get("calibration").is_none());
    assert_eq!(found["statements"]["slots"].as_array().unwrap().len(), 0);
    // one reference a text: the same as that of the captions
    let (own, text) = (&found["evidence"]["accuracy"]["estimate"], &found["texts"]["rouge_l"]);
    assert!((own.as_f64().unwrap() - text.as_f64().unwrap()).abs() < 1e-9, "{own} {text}");
    assert!(found["evidence"]["written"]["estimate"].is_number());
    assert!(ran.stdout.lines().next().unwrap().contains("ROUGE-L"), "{}", ran.stdout);
    assert!(ran.stdout.contains("SCAN-DEPENDENT: "), "{}", ran.stdout);
    let page = fs::read_to_string(dir.path().join("runs/quickstart-short/sub-1.html")).unwrap();
    assert!(page.contains("<h4>True report</h4><p class=\"text\">Findings: "));
    // the package writes without slots too
    let model = dir.path().join("runs/quickstart-short/model").display().to_string();
    let scan = root().join("fixtures/haxby2001/run011/bold_1slice.nii.gz").display().to_string();
    let words = ["generate", "--model", &model, "--scan", &scan, "--window", "3"];
    assert!(run(&words).exits_with(0).stdout.contains("Model: quickstart-short"));
}

#[test]
fn truths_that_are_none_are_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("typed.yaml"), TYPED).unwrap();
    let slots = "    slots: { file: typed.yaml }\n";
    let path = pipeline(dir.path(), slots, ",load", |_, record| format!("{record},11"));
    let said = run(&["check", &path]).exits_with(2).stderr;
    let expected = "row 2: the true value of slot load is \"11\", expected a number from 0 to 10";
    assert!(said.contains(expected), "{said}");
    let path = pipeline(dir.path(), slots, "", |_, record| record.to_owned());
    let said = run(&["check", &path]).exits_with(2).stderr;
    assert!(said.contains("column load is missing, which slot load is true by"), "{said}");
    let wrong = TYPED.replace("bins: [5]", "bins: [50]");
    fs::write(dir.path().join("typed.yaml"), wrong).unwrap();
    let said = run(&["check", &path]).exits_with(2).stderr;
    assert!(said.contains("slot load: a number needs bins that ascend within the range"), "{said}");
    assert!(said.contains("typed.yaml"), "{said}");
}
