//! Few-shot evaluation in the layouts that OpenFlamingo's reads, asked of a tiny package of random weights.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tests::{Ran, files_below, root, run};

const MODEL: &str = "fixtures/tiny-captioner";
const FIXTURES: &str = "fixtures/few_shot";

/// A pipeline that writes into a folder of its own.
struct Evaluation {
    dir: TempDir,
    pipeline: &'static str,
    sets: Vec<String>,
}

impl Evaluation {
    fn of(pipeline: &'static str, sets: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let outputs = format!("outputs={}", dir.path().join("runs").display());
        let sets = sets.iter().map(|it| (*it).to_owned()).chain([outputs]).collect();
        Self { dir, pipeline, sets }
    }

    fn call(&self, command: &str, more: &[&str]) -> Ran {
        let pipeline = format!("pipelines/{}.yaml", self.pipeline);
        let sets = self.sets.iter().map(String::as_str).chain(more.iter().copied());
        let sets = sets.flat_map(|set| ["--set", set]);
        run(&[command, &pipeline].into_iter().chain(sets).collect::<Vec<_>>())
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("runs").join(self.pipeline)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder().join(name)).unwrap()
    }

    fn metrics(&self) -> Value {
        serde_json::from_str(&self.read("metrics.json")).unwrap()
    }

    /// The rows of `predictions.csv` by their columns.
    fn predictions(&self) -> Vec<BTreeMap<String, String>> {
        let mut reader = csv::Reader::from_path(self.folder().join("predictions.csv")).unwrap();
        reader.deserialize().map(Result::unwrap).collect()
    }

    /// The texts that are kept, by the names of their files.
    fn kept(&self) -> BTreeMap<PathBuf, String> {
        let answers = self.dir.path().join("runs/cache/evaluate_few_shot/answers");
        let text = |path: PathBuf| {
            let kept: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            (path, kept["part"]["written"]["text"].as_str().unwrap().to_owned())
        };
        files_below(&answers).into_iter().map(text).collect()
    }
}

/// What the model writes or finds likely after one prompt with these pictures, as the commands say it.
fn asked(command: &[&str], prompt: &str, pictures: &[PathBuf]) -> Value {
    let pictures: Vec<String> = pictures.iter().map(|it| it.display().to_string()).collect();
    let shown = pictures.iter().flat_map(|it| ["--image", it.as_str()]);
    let start = [command[0], "--model", MODEL, "--prompt", prompt, "--json"];
    let args: Vec<&str> =
        start.into_iter().chain(command[1..].iter().copied()).chain(shown).collect();
    serde_json::from_str(&run(&args).exits_with(0).stdout).unwrap()
}

fn fixture(path: &str) -> PathBuf {
    root().join(FIXTURES).join(path)
}

fn coco(number: &str) -> PathBuf {
    let number: usize = number.parse().unwrap();
    let folder = if number < 10 { "train2014" } else { "val2014" };
    fixture(&format!("coco/{folder}/COCO_{folder}_{number:012}.jpg"))
}

#[test]
fn captions_are_written_after_the_originals_prompt_and_scored() {
    let evaluation = Evaluation::of("evaluate-caption", &[]);
    let plan = evaluation.call("check", &[]).exits_with(0).stdout;
    assert!(plan.contains("4 items, 4 examples") && plan.contains("dataset_coco.json"), "{plan}");
    let ran = evaluation.call("run", &[]).exits_with(0);
    assert!(ran.stdout.contains("cider_x100"), "{ran}");
    let file: Value =
        serde_json::from_str(&fs::read_to_string(fixture("coco/dataset_coco.json")).unwrap())
            .unwrap();
    let caption = |id: &str| {
        let images = file["images"].as_array().unwrap();
        let image = images.iter().find(|it| it["cocoid"].as_u64() == id.parse().ok()).unwrap();
        image["sentences"][0]["raw"].as_str().unwrap().trim().to_owned()
    };
    let rows = evaluation.predictions();
    assert_eq!(rows.len(), 12);
    let writing =
        ["generate", "--num-beams", "3", "--length-penalty", "0", "--max-new-tokens", "20"];
    for row in rows.iter().filter(|row| row["item"] == "11" || row["item"] == "14") {
        let shown: Vec<&str> = row["demonstrations"].split(' ').collect();
        let with_pictures = row["shots"] != "0";
        let image = if with_pictures { "<image>" } else { "" };
        let demonstration = |id: &&str| format!("{image}Output:{}<|endofchunk|>\n", caption(id));
        let prompt = shown.iter().map(demonstration).collect::<String>() + "<image>Output:";
        let own = row["item"].as_str();
        let ids = if with_pictures { [&shown[..], &[own]].concat() } else { vec![own] };
        let pictures: Vec<PathBuf> = ids.into_iter().map(coco).collect();
        let found = asked(&writing, &prompt, &pictures);
        assert_eq!(found["text"], Value::from(row["written"].as_str()), "{row:?}");
    }
    let metrics = evaluation.metrics();
    let shots = metrics["shots"].as_array().unwrap();
    assert_eq!(shots.iter().map(|it| it["shots"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 2, 4]);
    for (at, shots) in shots.iter().enumerate() {
        let interval = &shots["scores"]["cider_x100"];
        let of = |name: &str| interval[name].as_f64().unwrap();
        // nonsense that is worth nothing has no known interval
        assert!(
            interval["low"].is_null()
                || of("low") <= of("estimate") && of("estimate") <= of("high")
        );
        let each: Vec<f64> =
            rows[4 * at..4 * at + 4].iter().map(|row| row["score"].parse().unwrap()).collect();
        assert!((of("estimate") - each.iter().sum::<f64>() / 4.0).abs() < 1e-9);
        let cider_d = shots["scores"]["texts"]["cider_d"].as_f64().unwrap();
        assert!((of("estimate") - 100.0 * cider_d).abs() < 1e-9);
    }
    let record: Value = serde_json::from_str(&evaluation.read("record.json")).unwrap();
    assert_eq!(record["package"]["model_id"], metrics["model_id"]);
    assert_eq!(record["inputs"]["pictures"].as_array().unwrap().len(), 8);
    assert_eq!(evaluation.read("status.tsv").matches("\tSUCCESS\t").count(), 4);
}

#[test]
fn questions_are_answered_and_worth_what_people_said() {
    let evaluation = Evaluation::of("evaluate-vqa", &["stages.evaluate_few_shot.shots=[2]"]);
    let _ = evaluation.call("run", &[]).exits_with(0);
    let questions: Value = serde_json::from_str(
        &fs::read_to_string(fixture("vqa/v2_OpenEnded_mscoco_train2014_questions.json")).unwrap(),
    )
    .unwrap();
    let annotations: Value = serde_json::from_str(
        &fs::read_to_string(fixture("vqa/v2_mscoco_train2014_annotations.json")).unwrap(),
    )
    .unwrap();
    let find = |all: &Value, id: &str| {
        let all = all.as_array().unwrap();
        all.iter().find(|it| it["question_id"].as_u64() == id.parse().ok()).unwrap().clone()
    };
    let rows = evaluation.predictions();
    assert_eq!(rows.len(), 5);
    let writing =
        ["generate", "--num-beams", "3", "--length-penalty", "0", "--max-new-tokens", "5"];
    let row = &rows[0];
    let shown: Vec<&str> = row["demonstrations"].split(' ').collect();
    let mut prompt = String::new();
    let mut pictures = Vec::new();
    for id in shown {
        let question = find(&questions["questions"], id);
        let answer = &find(&annotations["annotations"], id)["answers"][0]["answer"];
        let (question, answer, image) = (
            question["question"].as_str().unwrap(),
            answer.as_str().unwrap(),
            &question["image_id"],
        );
        prompt =
            format!("{prompt}<image>Question:{question} Short answer:{answer}<|endofchunk|>\n");
        pictures.push(coco(&image.to_string()));
    }
    prompt = format!("{prompt}<image>Question:{} Short answer:", row["question"]);
    pictures.push(fixture(&format!("coco/val2014/{}", row["image"])));
    assert_eq!(asked(&writing, &prompt, &pictures)["text"], Value::from(row["written"].as_str()));
    let shots = &evaluation.metrics()["shots"][0];
    assert_eq!((shots["n_items"].as_u64(), shots["n_pictures"].as_u64()), (Some(5), Some(4)));
    let mean = rows.iter().map(|row| row["score"].parse::<f64>().unwrap()).sum::<f64>() / 5.0;
    let percent = shots["scores"]["vqa_accuracy_percent"]["estimate"].as_f64().unwrap();
    assert!((percent - 100.0 * mean).abs() < 1e-9);
}

#[test]
fn without_annotations_answers_are_written_for_the_server() {
    let evaluation = Evaluation::of("evaluate-vqa", &["stages.evaluate_few_shot.shots=[0]"]);
    let pipeline = fs::read_to_string(root().join("pipelines/evaluate-vqa.yaml")).unwrap();
    let without: String = pipeline
        .lines()
        .filter(|line| !line.contains("v2_mscoco_val2014_annotations"))
        .map(|line| line.replace("../", &format!("{}/", root().display())) + "\n")
        .collect();
    let file = evaluation.dir.path().join("pipeline.yaml");
    fs::write(&file, without).unwrap();
    let file = file.display().to_string();
    let sets = evaluation.sets.iter().flat_map(|set| ["--set", set.as_str()]);
    let ran = run(&["run", &file].into_iter().chain(sets).collect::<Vec<_>>()).exits_with(0);
    assert!(ran.stdout.contains("not scored"), "{ran}");
    let answers: Value = serde_json::from_str(&evaluation.read("answers_0.json")).unwrap();
    let answers = answers.as_array().unwrap();
    assert_eq!((answers.len(), &answers[0]["question_id"]), (5, &json!(11000)));
    assert!(answers.iter().all(|it| it["answer"].is_string()));
    assert_eq!(evaluation.metrics()["shots"][0]["scores"], Value::Null);
}

/// The probability of each class after a prompt.
fn scored(prompt: &str, pictures: &[PathBuf], classes: [&str; 2]) -> Vec<f64> {
    let [first, second] = classes;
    let found =
        asked(&["score", "--continuation", first, "--continuation", second], prompt, pictures);
    let all = found["continuations"].as_array().unwrap();
    all.iter().map(|it| it["probability"].as_f64().unwrap()).collect()
}

fn meme(number: &str) -> (PathBuf, String, &'static str) {
    let square = ["2", "4", "11", "13"].contains(&number);
    let (text, label) = if square { ("no squares here", "yes") } else { ("all are welcome", "no") };
    let number: usize = number.parse().unwrap();
    (fixture(&format!("hateful_memes/img/{number:05}.png")), text.to_owned(), label)
}

#[test]
fn classes_are_chosen_by_likelihood_and_open_flamingo_shows_the_wrong_picture_without_shots() {
    let evaluation =
        Evaluation::of("evaluate-classify", &["stages.evaluate_few_shot.shots=[0, 2]"]);
    let _ = evaluation.call("run", &[]).exits_with(0);
    let query =
        |text: &str| format!("is an image with: '{text}' written on it. Is it hateful? Answer:");
    let check = |row: &BTreeMap<String, String>, wrong_picture: bool| {
        let with_pictures = row["shots"] != "0";
        let image = if with_pictures { "<image>" } else { "" };
        let shown: Vec<_> = row["demonstrations"].split(' ').map(meme).collect();
        let words = shown
            .iter()
            .map(|(_, text, label)| format!("{image}{}{label}<|endofchunk|>", query(text)));
        let (own, text, _) = meme(&row["item"]);
        let prompt = words.collect::<String>() + "<image>" + &query(&text);
        let before: Vec<PathBuf> = shown.into_iter().map(|(path, ..)| path).collect();
        let pictures = match (with_pictures, wrong_picture) {
            (true, _) => [before, vec![own]].concat(),
            (false, true) => vec![before[0].clone()],
            (false, false) => vec![own],
        };
        let found = scored(&prompt, &pictures, ["no", "yes"]);
        let best = found[0].max(found[1]);
        let score: f64 = row["score"].parse().unwrap();
        assert!((score - best).abs() < 1e-5, "{row:?} {found:?}");
        assert_eq!(row["answer"], if found[0] >= found[1] { "no" } else { "yes" });
    };
    let rows = evaluation.predictions();
    check(&rows[0], false);
    check(&rows[5], false);
    let shots = &evaluation.metrics()["shots"];
    assert!(shots[1]["scores"]["roc_auc"]["estimate"].is_number(), "{shots}");
    // the same by hand: pairs of a hateful and another picture
    let hateful: Vec<f64> = rows[4..]
        .iter()
        .map(|row| {
            let score: f64 = row["score"].parse().unwrap();
            if row["answer"] == "yes" { score } else { 1.0 - score }
        })
        .collect();
    let mut won = 0.0;
    for (a, row_a) in rows[4..].iter().enumerate().filter(|(_, row)| row["truth"] == "yes") {
        for (b, row_b) in rows[4..].iter().enumerate().filter(|(_, row)| row["truth"] == "no") {
            assert_ne!(row_a["item"], row_b["item"]);
            won += if hateful[a] > hateful[b] { 1.0 } else { 0.0 };
        }
    }
    let area = shots[1]["scores"]["roc_auc"]["estimate"].as_f64().unwrap();
    assert!((area - won / 4.0).abs() < 1e-9, "{area} {won}");

    let compat = Evaluation::of(
        "evaluate-classify",
        &["stages.evaluate_few_shot.shots=[0]", "stages.evaluate_few_shot.compat=open_flamingo"],
    );
    let _ = compat.call("run", &[]).exits_with(0);
    check(&compat.predictions()[0], true);
}

#[test]
fn retrieved_examples_are_those_of_the_nearest_vectors() {
    // two coordinates for shape, so that the nearest two examples have the shape of the item
    let evaluation = Evaluation::of("evaluate-caption", &["stages.evaluate_few_shot.shots=[2]"]);
    let table = evaluation.dir.path().join("brains.csv");
    let mut rows = "image,a,b\n".to_owned();
    for number in [1, 2, 3, 4, 11, 12, 13, 14] {
        let is_square = [2, 4, 11, 13].contains(&number);
        let name = coco(&number.to_string());
        let name = name.file_name().unwrap().to_string_lossy().into_owned();
        let (a, b) = if is_square { (5.0, f64::from(number)) } else { (-5.0, f64::from(number)) };
        rows = format!("{rows}{name},{a},{b}\n");
    }
    fs::write(&table, rows).unwrap();
    let rices = format!(
        "stages.evaluate_few_shot.demonstrations={{ rices: {{ table: {{ file: {}, key: image }} }} }}",
        table.display()
    );
    let _ = evaluation.call("run", &[&rices]).exits_with(0);
    let shown: Vec<String> =
        evaluation.predictions().iter().map(|row| row["demonstrations"].clone()).collect();
    // by hand, cosines of (±5, n): of 11 and 13 with 2 and 4, and of 12 and 14 with 1 and 3
    assert_eq!(shown, ["2 4", "1 3", "2 4", "1 3"]);
    let missing =
        fs::read_to_string(&table).unwrap().replace("COCO_train2014_000000000003", "other");
    fs::write(&table, missing).unwrap();
    let said = evaluation.call("check", &[&rices]).exits_with(2).stderr;
    assert!(said.contains("no row is of picture COCO_train2014_000000000003.jpg"), "{said}");
}

#[test]
fn answers_outlast_a_run_and_are_not_asked_for_twice() {
    let evaluation = Evaluation::of("evaluate-vqa", &[]);
    let _ = evaluation.call("run", &["stages.evaluate_few_shot.shots=[0, 2]"]).exits_with(0);
    let first = evaluation.kept();
    assert_eq!(first.len(), 10, "five questions twice");
    let two: Vec<_> =
        evaluation.predictions().into_iter().filter(|row| row["shots"] == "2").collect();
    // another evaluation, of which half is known
    let _ = evaluation.call("run", &["stages.evaluate_few_shot.shots=[2, 4]"]).exits_with(0);
    let second = evaluation.kept();
    assert_eq!(second.len(), 15);
    assert!(first.iter().all(|(path, text)| second.get(path) == Some(text)));
    let again: Vec<_> =
        evaluation.predictions().into_iter().filter(|row| row["shots"] == "2").collect();
    assert_eq!(two, again);
    // a damaged answer is asked for again
    let damaged = second.keys().next().unwrap();
    fs::write(damaged, "{}").unwrap();
    for result in fs::read_dir(evaluation.dir.path().join("runs/cache/evaluate_few_shot")).unwrap()
    {
        let path = result.unwrap().path();
        if !path.ends_with("answers") {
            fs::remove_dir_all(path).unwrap();
        }
    }
    let _ = evaluation
        .call(
            "run",
            &[
                "stages.evaluate_few_shot.shots=[2, 4]",
                "stages.evaluate_few_shot.writing.batch_size=3",
            ],
        )
        .exits_with(0);
    let _ = evaluation.call("run", &["stages.evaluate_few_shot.shots=[0, 2]"]).exits_with(0);
    assert_eq!(evaluation.kept(), second);
    let ran = evaluation.call("run", &["stages.evaluate_few_shot.shots=[0, 2]"]).exits_with(0);
    assert!(ran.stderr.contains("stored result taken"), "{ran}");
}

#[test]
fn a_picture_that_cannot_be_decoded_leaves_its_item_out() {
    let evaluation = Evaluation::of("evaluate-caption", &["stages.evaluate_few_shot.shots=[0, 2]"]);
    let copy = evaluation.dir.path().join("coco");
    for path in files_below(&fixture("coco")) {
        let to = copy.join(path.strip_prefix(fixture("coco")).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(path, to).unwrap();
    }
    let cut = copy.join("val2014/COCO_val2014_000000000012.jpg");
    let bytes = fs::read(&cut).unwrap();
    fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let sets = [
        format!("cohort.benchmark.captions.images={}", copy.display()),
        format!("cohort.benchmark.captions.karpathy={}", copy.join("dataset_coco.json").display()),
    ];
    let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
    let ran = evaluation.call("run", &sets).exits_with(1);
    assert!(ran.stderr.contains("1 of 4 items failed, the rest is complete"), "{ran}");
    let status = evaluation.read("status.tsv");
    let failed = status.lines().find(|line| line.contains("FAIL")).unwrap();
    assert!(failed.starts_with("12\t") && failed.contains("ends after"), "{failed}");
    assert!(!status.contains(&evaluation.dir.path().display().to_string()), "{status}");
    let metrics = evaluation.metrics();
    assert!(metrics["shots"].as_array().unwrap().iter().all(|it| it["n_items"] == 3));
    // retrieval looks at it first
    let rices = "stages.evaluate_few_shot.demonstrations={ rices: encoder }";
    let ran = evaluation.call("run", &[&sets[..], &[rices]].concat()).exits_with(1);
    assert!(ran.stderr.contains("1 of 4 items failed"), "{ran}");
}

#[test]
fn seeds_are_trials_with_mean_and_deviation() {
    let evaluation = Evaluation::of("evaluate-vqa", &["stages.evaluate_few_shot.shots=[2]"]);
    let ran = evaluation.call("run", &["repeat={ seeds: [1, 2] }"]).exits_with(0);
    assert!(ran.stdout.contains("mean and standard deviation over 2 repetitions"), "{ran}");
    let trials = evaluation.metrics()["shots"][0]["trials"].clone();
    for (seed, trial) in [1, 2].into_iter().zip(trials.as_array().unwrap()) {
        let one: Value =
            serde_json::from_str(&evaluation.read(&format!("seed-{seed}/metrics.json"))).unwrap();
        assert_eq!(&one["shots"][0]["scores"]["vqa_accuracy_percent"]["estimate"], trial);
    }
}

/// What is said of a data set of which one file was changed.
fn refused(
    pipeline: &'static str,
    folder: &str,
    file: &str,
    change: impl Fn(&Path),
    sets: &[&str],
) -> String {
    let evaluation = Evaluation::of(pipeline, sets);
    let all = evaluation.dir.path().join("data");
    for path in files_below(&fixture("")) {
        let to = all.join(path.strip_prefix(fixture("")).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(path, to).unwrap();
    }
    change(&all.join(folder).join(file));
    let text = fs::read_to_string(root().join(format!("pipelines/{pipeline}.yaml"))).unwrap();
    let text = text
        .replace("../fixtures/few_shot", &all.display().to_string())
        .replace("../fixtures", &root().join("fixtures").display().to_string());
    let path = evaluation.dir.path().join("pipeline.yaml");
    fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    let sets = evaluation.sets.iter().flat_map(|set| ["--set", set.as_str()]);
    let ran = run(&["check", &path].into_iter().chain(sets).collect::<Vec<_>>()).exits_with(2);
    assert!(ran.stdout.is_empty(), "{ran}");
    ran.stderr
}

fn replaced(from: &'static str, to: &'static str) -> impl Fn(&Path) {
    move |path| {
        let text = fs::read_to_string(path).unwrap();
        assert!(text.contains(from), "{}", path.display());
        fs::write(path, text.replacen(from, to, 1)).unwrap();
    }
}

#[test]
fn a_plan_refuses_what_a_data_set_lacks_in_one_sentence() {
    let remove = |path: &Path| fs::remove_file(path).unwrap();
    let train = "v2_mscoco_train2014_annotations.json";
    let test = "v2_mscoco_val2014_annotations.json";
    let questions = "v2_OpenEnded_mscoco_val2014_questions.json";
    for (said, found) in [
        (
            "COCO_val2014_000000000012.jpg: cannot be read",
            refused("evaluate-vqa", "coco/val2014", "COCO_val2014_000000000012.jpg", remove, &[]),
        ),
        (
            "annotation of question 99, which v2_OpenEnded_mscoco_train2014_questions.json does not hold",
            refused(
                "evaluate-vqa",
                "vqa",
                train,
                replaced("\"question_id\": 1000,", "\"question_id\": 99,"),
                &[],
            ),
        ),
        (
            "question 11000 of v2_OpenEnded_mscoco_val2014_questions.json has no annotation",
            refused(
                "evaluate-vqa",
                "vqa",
                test,
                replaced("\"question_id\": 11000,", "\"question_id\": 99,"),
                &[],
            ),
        ),
        (
            "question 12001 is listed twice",
            refused(
                "evaluate-vqa",
                "vqa",
                questions,
                replaced("\"question_id\": 11000", "\"question_id\": 12001"),
                &[],
            ),
        ),
        (
            "question 11000 holds the token `<image>`",
            refused("evaluate-vqa", "vqa", questions, replaced("What colour", "What <image>"), &[]),
        ),
        (
            "class yes has no member: no line has label 1",
            refused(
                "evaluate-classify",
                "hateful_memes",
                "train.jsonl",
                |path| {
                    let text = fs::read_to_string(path).unwrap();
                    fs::write(path, text.replace("\"label\": 1", "\"label\": 0")).unwrap();
                },
                &[],
            ),
        ),
        (
            "line 2: label is 7, expected 0 or 1",
            refused(
                "evaluate-classify",
                "hateful_memes",
                "dev.jsonl",
                replaced("\"label\": 0", "\"label\": 7"),
                &[],
            ),
        ),
        (
            "it has nothing for split test",
            refused(
                "evaluate-caption",
                "coco",
                "dataset_coco.json",
                |path| {
                    let text = fs::read_to_string(path).unwrap();
                    fs::write(path, text.replace("\"test\"", "\"val\"")).unwrap();
                },
                &[],
            ),
        ),
    ] {
        assert!(found.contains(said), "{found}\nexpected: {said}");
    }
}

#[test]
fn a_plan_refuses_settings_that_do_not_fit() {
    let stage = "stages.evaluate_few_shot";
    for (pipeline, set, said) in [
        (
            "evaluate-caption",
            "shots=[5]",
            "shots is 5, expected at most 4, the examples that there are",
        ),
        ("evaluate-caption", "shots=[2, 2]", "expected at least one number, each once"),
        (
            "evaluate-caption",
            "n_items=9",
            "n_items is 9, expected at most 4, the items of the data set",
        ),
        ("evaluate-caption", "choosing={}", "answers are written, not chosen"),
        ("evaluate-classify", "writing={ max_new_tokens: 3 }", "classes are chosen, not written"),
        (
            "evaluate-caption",
            "writing.max_new_tokens=250",
            "and the language model reads 256: ask for fewer",
        ),
        ("evaluate-caption", "writing.temperature=0", "above 0"),
        ("evaluate-caption", "demonstrations={ random: { among: 0 } }", "expected at least 1"),
        (
            "evaluate-caption",
            "demonstrations={ random: { among: 3 } }",
            "expected at most 3, the examples",
        ),
        ("evaluate-classify", "shots=[4]", "after 4 examples has"),
        ("evaluate-caption", "shot=[5]", "unknown field `shot`"),
    ] {
        let evaluation = Evaluation::of(pipeline, &[]);
        let said_of = evaluation.call("check", &[&format!("{stage}.{set}")]).exits_with(2).stderr;
        assert!(said_of.contains(said), "{set}: {said_of}");
    }
    let folders = |names: &str| {
        let evaluation = Evaluation::of("evaluate-classify", &[]);
        let file = evaluation.dir.path().join("names.json");
        fs::write(&file, names).unwrap();
        let [train, test] = ["train", "val"].map(|it| fixture(&format!("imagenet/{it}")));
        let set = format!(
            "cohort.benchmark={{ image_folders: {{ train: {}, test: {}, names: {} }} }}",
            train.display(),
            test.display(),
            file.display()
        );
        evaluation.call("check", &[&set])
    };
    let both = r#""n00000001": "circle", "n00000002": "square""#;
    let plan = folders(&format!("{{{both}}}")).exits_with(0).stdout;
    assert!(plan.contains("4 items, 4 examples"), "{plan}");
    let said = folders(&format!(r#"{{{both}, "n00000003": "star"}}"#)).exits_with(2).stderr;
    assert!(said.contains("class star has no member: folder n00000003 holds no picture"), "{said}");
    let said = folders(r#"{"n00000001": "circle", "n1": "x"}"#).exits_with(2).stderr;
    assert!(said.contains("the class of folder n00000002 has no name"), "{said}");
}

#[test]
fn orders_of_the_examples_are_averaged() {
    let folders = format!(
        "cohort.benchmark={{ image_folders: {{ train: {0}/train, test: {0}/val, names: {0}/names.json }} }}",
        fixture("imagenet").display()
    );
    let of = |orders: usize| {
        let evaluation =
            Evaluation::of("evaluate-classify", &[&folders, "stages.evaluate_few_shot.shots=[2]"]);
        let set = format!("stages.evaluate_few_shot.choosing.orders={orders}");
        let _ = evaluation.call("run", &[&set]).exits_with(0);
        evaluation.predictions()
    };
    let (one, more) = (of(1), of(6));
    assert_eq!(one.len(), 4);
    assert!(one.iter().zip(&more).all(|(a, b)| a["demonstrations"] == b["demonstrations"]));
    assert!(one.iter().zip(&more).any(|(a, b)| a["score"] != b["score"]));
    let row = &one[0];
    let class = |id: &str| if id.starts_with("n00000001") { "circle" } else { "square" };
    let shown: Vec<&str> = row["demonstrations"].split(' ').collect();
    let words = shown.iter().map(|id| format!("<image>Output:{}<|endofchunk|>", class(id)));
    let prompt = words.collect::<String>() + "<image>Output:";
    let of_train = shown.iter().map(|id| fixture(&format!("imagenet/train/{id}")));
    let pictures: Vec<PathBuf> =
        of_train.chain([fixture(&format!("imagenet/val/{}", row["item"]))]).collect();
    let found = scored(&prompt, &pictures, ["circle", "square"]);
    let score: f64 = row["score"].parse().unwrap();
    assert!((score - found[0].max(found[1])).abs() < 1e-5, "{row:?} {found:?}");
}
