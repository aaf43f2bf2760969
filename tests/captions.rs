//! Pictures to texts with a tiny package of random weights: import, look inside, write, rank.

use std::fs;

use serde_json::Value;
use tests::{Foreign, files_below, root, run};

const MODEL: &str = "fixtures/tiny-captioner";
const PHOTO: &str = "fixtures/clip_images/photo_420.jpg";
const OTHER: &str = "fixtures/clip_images/palette.png";

fn json(args: &str) -> Value {
    let words: Vec<&str> = args.split(' ').chain(["--json"]).collect();
    serde_json::from_str(&run(&words).exits_with(0).stdout).expect("JSON")
}

#[test]
fn foreign_files_become_a_package_that_is_whole_and_says_what_is_in_it() {
    let foreign = Foreign::new();
    let ran = foreign.import(&[]).exits_with(0);
    for said in ["loaded.resampler.tensors", "frozen.vision.parameters", "missing", "wrong_shape"] {
        assert!(ran.stdout.contains(said), "{ran}");
    }
    let package = foreign.package().display().to_string();
    let _ = run(&["model", "verify", &package]).exits_with(0);
    let told = run(&["model", "inspect", &package]).exits_with(0).stdout;
    for said in [
        "trainable",
        "frozen",
        "gate        before block 0: attention +0.9051, feed-forward +0.4621",
        "perceiver.latents",
        "[4, 32]",
        "licence",
    ] {
        assert!(told.contains(said), "{said}\n{told}");
    }
    let info: Value =
        serde_json::from_str(&run(&["model", "inspect", &package, "--json"]).stdout).unwrap();
    let parameters = &info["parameters"];
    let n = |name: &str| parameters[name].as_u64().expect("a number");
    assert_eq!(n("trainable"), n("resampler") + n("gated_blocks") + n("embedding"));
    assert_eq!(n("embedding"), 515 * 32);
}

#[test]
fn a_picture_gets_a_text_alone_streamed_or_in_a_record() {
    let args = ["generate", "--model", MODEL, "--image", PHOTO, "--max-new-tokens", "8"];
    let plain = run(&args).exits_with(0);
    assert!(plain.stderr.contains("not for diagnosis"), "{plain}");
    let streamed = run(&[&args[..], &["--stream"]].concat()).exits_with(0);
    assert_eq!(plain.stdout, streamed.stdout);
    let record = json(&args.join(" "));
    assert_eq!(format!("{}\n", record["text"].as_str().unwrap()), plain.stdout);
    assert_eq!(record["prompt"], "<image>Output:");
    assert_eq!(record["data_digests"][0], scan::sha256_file(root().join(PHOTO)).unwrap());
    let other = json(&format!("generate --model {MODEL} --image {OTHER} --max-new-tokens 8"));
    assert_ne!(record["text"], other["text"], "the text depends on the picture");
}

#[test]
fn every_way_to_write_is_there_and_seeds_decide() {
    let start = format!("generate --model {MODEL} --image {PHOTO} --max-new-tokens 8");
    let text = |rest: &str| json(&format!("{start} {rest}"));
    let drawn = text("--temperature 2 --top-k 50 --top-p 0.95 --seed 3");
    assert_eq!(drawn, text("--temperature 2 --top-k 50 --top-p 0.95 --seed 3"));
    assert_ne!(drawn["text"], text("--temperature 2 --top-k 50 --top-p 0.95 --seed 4")["text"]);
    let beams = text(
        "--num-beams 3 --length-penalty 0 --early-stopping full --length generated \
                      --num-return-sequences 2",
    );
    let score = |it: &Value| it["score"].as_f64().expect("beams have scores");
    assert!(score(&beams) >= score(&beams["others"][0]));
    let long = text("--min-new-tokens 6 --no-repeat-ngram-size 2 --repetition-penalty 1.3");
    assert!(long["n_tokens"].as_u64().unwrap() >= 6);
    let several = format!("{start} --num-beams 3 --num-return-sequences 3");
    let several = run(&several.split(' ').collect::<Vec<_>>()).exits_with(0);
    assert_eq!(several.stdout.lines().count(), 3, "one text a line: {several}");
}

#[test]
fn settings_that_contradict_each_other_are_refused_in_a_sentence() {
    for (rest, said) in [
        ("--num-beams 3 --temperature 1", "`num_beams` is 3, expected 1 beside `temperature`"),
        ("--seed 4", "`seed` is 4, expected `temperature`, `top_k` or `top_p` beside it"),
        ("--length-penalty -1", "`length_penalty` is -1, expected `num_beams` above 1"),
        ("--num-return-sequences 2", "`num_return_sequences` is 2, expected at most `num_beams`"),
        ("--min-new-tokens 9 --max-new-tokens 8", "at most `max_new_tokens`, which is 8"),
        ("--temperature 0", "`temperature` is 0, expected a number above 0"),
    ] {
        let args = format!("generate --model nowhere --image {PHOTO} {rest}");
        let ran = run(&args.split(' ').collect::<Vec<_>>()).exits_with(2);
        assert!(ran.stderr.contains(said) && ran.stdout.is_empty(), "{ran}");
    }
}

#[test]
fn examples_before_the_query_count_and_a_file_of_prompts_equals_its_lines() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    for (from, to) in [(PHOTO, "a.jpg"), (OTHER, "b.png")] {
        fs::copy(root().join(from), path(to)).unwrap();
    }
    let few_shot = "<image>Output:a rocket<|endofchunk|><image>Output:";
    let lines = format!(
        "{{\"id\": \"few\", \"prompt\": \"{few_shot}\", \"images\": [\"a.jpg\", \"b.png\"]}}\n\
         {{\"prompt\": \"<image>Output:\", \"images\": [\"b.png\"]}}\n\
         {{\"prompt\": \"The\"}}\n"
    );
    fs::write(path("prompts.jsonl"), lines).unwrap();
    let file = path("prompts.jsonl");
    let all = json(&format!("generate --model {MODEL} --interleaved {file} --max-new-tokens 8"));
    assert_eq!((all.as_array().unwrap().len(), &all[0]["id"]), (3, &Value::from("few")));
    let single = |rest: &[&str]| {
        let start = ["generate", "--model", MODEL, "--max-new-tokens", "8", "--json"];
        let ran = run(&[&start[..], rest].concat()).exits_with(0);
        serde_json::from_str::<Value>(&ran.stdout).unwrap()["text"].clone()
    };
    let (a, b) = (path("a.jpg"), path("b.png"));
    assert_eq!(all[0]["text"], single(&["--image", &a, "--image", &b, "--prompt", few_shot]));
    assert_eq!(all[1]["text"], single(&["--image", &b]));
    assert_eq!(all[2]["text"], single(&["--prompt", "The"]), "a text without pictures");
    let plain = run(&["generate", "--model", MODEL, "--interleaved", &file]).exits_with(0);
    assert_eq!(plain.stdout.lines().count(), 3, "{plain}");
}

#[test]
fn continuations_are_ranked_by_mean_or_sum() {
    let start = format!("score --model {MODEL} --image {PHOTO}");
    let ask = "--prompt <image>Answer: --continuation yes --continuation no";
    let scores = json(&format!("{start} {ask}"));
    let all = scores["continuations"].as_array().unwrap();
    let of = |it: &Value, name: &str| it[name].as_f64().unwrap();
    assert_eq!((all[0]["text"].as_str(), all.len()), (Some("yes"), 2));
    let total: f64 = all.iter().map(|it| of(it, "probability")).sum();
    assert!((total - 1.).abs() < 1e-9);
    for it in all {
        assert!((of(it, "mean") * of(it, "n_tokens") - of(it, "sum")).abs() < 1e-9);
    }
    let best = &all[scores["best"].as_u64().unwrap() as usize];
    assert!(all.iter().all(|it| of(best, "mean") >= of(it, "mean")));
    let by_sum = json(&format!("{start} {ask} --sum"));
    let best = by_sum["best"].as_u64().unwrap() as usize;
    let sums = by_sum["continuations"].as_array().unwrap();
    assert!(sums.iter().all(|it| of(&sums[best], "sum") >= of(it, "sum")));

    let dir = tempfile::tempdir().unwrap();
    let classes = dir.path().join("classes.txt");
    fs::write(&classes, "yes\nno\n").unwrap();
    let args = format!("{start} --prompt <image>Answer: --continuations {}", classes.display());
    assert_eq!(json(&args)["continuations"], scores["continuations"]);
    let table = run(&args.split(' ').collect::<Vec<_>>()).exits_with(0).stdout;
    assert!(table.starts_with("probability") && table.lines().count() == 3, "{table}");
}

#[test]
fn a_continuation_without_tokens_or_with_an_image_is_refused() {
    for (continuation, said) in [("", "has no tokens"), ("no<image>", "has an `<image>`")] {
        let start = ["score", "--model", MODEL, "--image", PHOTO, "--prompt", "<image>Answer:"];
        let rest = ["--continuation", "yes", "--continuation", continuation];
        let ran = run(&[&start[..], &rest].concat()).exits_with(2);
        assert!(ran.stderr.contains(said) && ran.stdout.is_empty(), "{ran}");
    }
}

#[test]
fn a_table_of_pictures_becomes_a_table_of_texts_and_a_bad_picture_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let images = root().join("fixtures/clip_images");
    for name in ["photo_420.jpg", "palette.png", "gray.jpg"] {
        fs::copy(images.join(name), dir.path().join(name)).unwrap();
    }
    let bytes = fs::read(images.join("progressive.jpg")).unwrap();
    fs::write(dir.path().join("cut.jpg"), &bytes[..bytes.len() / 2]).unwrap();
    let table = dir.path().join("pictures.csv");
    let rows = "image,reference\nphoto_420.jpg,a rocket\nphoto_420.jpg,a tower\ncut.jpg,\n\
                palette.png,\"coffee, black\"\ngray.jpg,\n";
    fs::write(&table, rows).unwrap();
    let sets = [
        format!("cohort.pictures.table={}", table.display()),
        format!("outputs={}", dir.path().join("runs").display()),
        "stages.caption.batch_size=2".to_owned(),
        "stages.caption.max_new_tokens=6".to_owned(),
    ];
    let mut args = vec!["run", "pipelines/caption.yaml"];
    args.extend(sets.iter().flat_map(|set| ["--set", set.as_str()]));
    let ran = run(&args).exits_with(1);
    assert!(ran.stderr.contains("1 of 4 pictures failed, the rest is complete"), "{ran}");
    let run_dir = dir.path().join("runs/caption");
    let read = |name: &str| fs::read_to_string(run_dir.join(name)).unwrap();
    let captions: Value = serde_json::from_str(&read("captions.json")).unwrap();
    let all = captions["captions"].as_array().unwrap();
    let names: Vec<_> = all.iter().map(|it| it["image"].as_str().unwrap()).collect();
    assert_eq!(names, ["photo_420.jpg", "palette.png", "gray.jpg"]);
    assert_eq!(all[0]["references"], serde_json::json!(["a rocket", "a tower"]));
    // the same as one picture alone, whatever stands beside it
    let writing = "--max-new-tokens 6 --num-beams 3 --length-penalty 0";
    for (name, caption) in names.iter().zip(all) {
        let image = images.join(name);
        let alone =
            json(&format!("generate --model {MODEL} --image {} {writing}", image.display()));
        assert_eq!(alone["text"], caption["text"], "{name}");
    }
    assert!(read("captions.csv").starts_with("image,caption,reference\nphoto_420.jpg,"));
    let status = read("status.tsv");
    assert_eq!(status.matches("\tSUCCESS\t").count(), 3, "{status}");
    let failed = status.lines().find(|line| line.contains("FAIL")).unwrap();
    assert!(failed.starts_with("cut.jpg\t") && failed.contains("cut.jpg: ends after"), "{failed}");
    assert!(!status.contains(&dir.path().display().to_string()), "no folder is told: {status}");
    let record: Value = serde_json::from_str(&read("record.json")).unwrap();
    assert_eq!(record["package"]["model_id"], captions["model_id"]);
    let again = run(&args).exits_with(1);
    assert!(again.stderr.contains("caption: stored result taken"), "{again}");
    assert!(files_below(dir.path()).iter().all(|it| !it.to_string_lossy().contains(".partial")));
}

#[test]
fn a_plan_of_pictures_refuses_what_a_run_would() {
    let check = |sets: &[&str], code: i32| {
        let sets = sets.iter().flat_map(|set| ["--set", set]);
        let args: Vec<&str> = ["check", "pipelines/caption.yaml"].into_iter().chain(sets).collect();
        run(&args).exits_with(code)
    };
    let plan = check(&[], 0).stdout;
    assert!(plan.contains("8 pictures") && plan.contains("tiny-captioner"), "{plan}");
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("note.txt"), "no picture").unwrap();
    let table = dir.path().join("pictures.csv");
    let set = format!("cohort.pictures.table={}", table.display());
    for (rows, said) in [
        ("image\nnowhere.png\n", "row 2"),
        ("image\nnote.txt\n", "is no image, expected a PNG or JPEG image"),
        ("picture\na.png\n", "allowed are the columns image and reference"),
        ("image\n", "it has no rows"),
    ] {
        fs::write(&table, rows).unwrap();
        let ran = check(&[&set], 2);
        assert!(ran.stderr.contains(said) && ran.stderr.contains("pictures.csv"), "{ran}");
    }
    let none = check(&["cohort.pictures.prompt=\"Output:\""], 2).stderr;
    assert!(none.contains("0 <image>, expected one"), "{none}");
    let absent = check(&["package=nowhere"], 2).stderr;
    assert!(absent.contains("nowhere/model.yaml"), "{absent}");
    let long = check(&["stages.caption.max_new_tokens=256"], 2).stderr;
    assert!(long.contains("at most 256"), "{long}");
    let two = check(&["stages.caption.num_return_sequences=2"], 2).stderr;
    assert!(two.contains("a picture has one caption"), "{two}");
}
