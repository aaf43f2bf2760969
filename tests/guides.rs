//! What the guides show: every command is taken by the program, every plan is the one that it prints, every
//! part of a pipeline is understood.

use std::{fs, path::Path};

use tests::{Ran, fenced, pages, program, root, run, words};

/// The commands of a page's blocks: without prompt, comment, redirection and what follows in the line.
fn commands(page: &str) -> Vec<String> {
    let blocks = page.split("```").skip(1).step_by(2).filter(|it| !it.starts_with("yaml"));
    // a command that goes on in the next line
    let text = blocks.collect::<Vec<_>>().concat();
    let text = text.split("\\\n").map(str::trim_start).collect::<Vec<_>>().concat();
    let starts = ["$ neuroflamingo ", "neuroflamingo ", "cargo run --release -- "];
    let command = |line: &str| {
        let line = line.trim_start();
        let rest = starts.iter().find_map(|start| line.strip_prefix(start))?;
        let ends = ["   ", " # ", " > ", " && ", " | "];
        let end = ends.iter().filter_map(|end| rest.find(end)).min().unwrap_or(rest.len());
        Some(rest[..end].trim().to_owned())
    };
    text.lines().filter_map(command).collect()
}

/// Runs a command where none of its files is, so that it can only be taken or not.
fn run_nowhere(words: &[String]) -> Ran {
    let empty = tempfile::tempdir().expect("a folder");
    let output =
        std::process::Command::new(program()).args(words).current_dir(empty.path()).output();
    let output = output.expect("the program runs");
    let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn every_command_is_one_that_the_program_takes() {
    let mut n_planned = 0;
    let mut all: Vec<String> = pages()
        .iter()
        .filter(|page| !page.ends_with("CHANGELOG.md"))
        .flat_map(|page| commands(&fs::read_to_string(page).expect("a page")))
        .collect();
    all.sort();
    all.dedup();
    assert!(all.len() > 60, "{all:?}");
    for command in &all {
        let mut words = words(command);
        // `model import|inspect|verify` stands for three commands
        if let Some(at) = words.iter().position(|it| it.contains('|')) {
            for name in words[at].split('|') {
                let line = [&words[..at], &[name.to_owned(), "--help".to_owned()]].concat();
                let _ = run_nowhere(&line).exits_with(0);
            }
            continue;
        }
        // it needs no file, and takes long
        if words[0] == "bench" {
            words.push("--help".to_owned());
        }
        let ran = run_nowhere(&words);
        // clap ends every refusal of a command line with this, and shows the usage in some only
        assert!(!ran.stderr.contains("try '--help'"), "{command}\n{ran}");
        let is_ours = words.get(1).is_some_and(|it| root().join(it).is_file());
        if ["run", "check"].contains(&words[0].as_str()) && is_ours && is_of_the_repository(&words)
        {
            let sets = words[2..].chunks(2).filter(|pair| pair[0] == "--set").flatten();
            let plan: Vec<&str> =
                ["check", &words[1]].into_iter().chain(sets.map(String::as_str)).collect();
            let _ = run(&plan).exits_with(0);
            n_planned += 1;
        }
    }
    assert!(n_planned > 8, "{n_planned}");
}

/// Whether all files that `--set` gives a pipeline are there; others are the reader's.
fn is_of_the_repository(words: &[String]) -> bool {
    let is_path = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let parts = words.iter().flat_map(|word| word.split(|c| !is_path(c)));
    let mut paths = parts.filter(|part| part.starts_with("../") || part.starts_with('/'));
    paths.all(|path| root().join("pipelines").join(path).exists())
}

/// Lines of a page's answer that are not among what the program said, in their order.
fn missing<'a>(answer: &'a str, ran: &Ran) -> Vec<&'a str> {
    let said = format!("{}{}", ran.stdout, ran.stderr);
    let mut lines = said.lines();
    let shown = answer.lines().filter(|line| !line.is_empty() && !line.ends_with('…'));
    shown.filter(|shown| !lines.any(|line| line == *shown)).collect()
}

#[test]
fn plans_are_those_that_the_program_prints() {
    let folder = tempfile::tempdir().expect("a folder");
    let mine = folder.path().display().to_string();
    let tutorial = fs::read_to_string(root().join("docs/tutorial-fine-tuning.md")).expect("a page");
    let here = |text: &str| {
        let fixtures = root().join("fixtures").display().to_string();
        let text = text.replace("../fixtures", &fixtures).replace("../mine", &mine);
        text.replace("mine/", &format!("{mine}/"))
    };
    let script = here(&fenced(&tutorial, "sh")[0]);
    let made =
        std::process::Command::new("sh").arg("-ec").arg(&script).current_dir(root()).status();
    assert!(made.expect("a shell runs").success(), "{script}");
    let row = here(&fenced(&tutorial, "csv")[0]);
    let table = fs::read_to_string(folder.path().join("pairs.csv")).expect("the table");
    assert!(table.contains(&row) && table.lines().count() == 49, "{row}{table}");
    fs::write(folder.path().join("slots.yaml"), &fenced(&tutorial, "yaml")[0]).expect("a file");
    let mut n_compared = 0;
    for page in pages().iter().filter(|page| !page.ends_with("short-scans.md")) {
        for block in fenced(&fs::read_to_string(page).expect("a page"), "console") {
            for part in block.split("$ neuroflamingo ").skip(1) {
                let (command, answer) = part.split_once('\n').expect("a line");
                let words = words(&here(command));
                let is_quick = words[0] == "check" || words[..2] == ["cohort", "scan"];
                if is_quick {
                    let words: Vec<&str> = words.iter().map(String::as_str).collect();
                    let ran = run(&words).exits_with(0).naming(Path::new(&mine), "mine");
                    // a long path is shown by its end
                    let ran = ran.naming(Path::new("…mine"), "mine");
                    assert_eq!(
                        missing(answer, &ran),
                        [""; 0],
                        "{}: {command}\n{ran}",
                        page.display()
                    );
                    n_compared += 1;
                }
            }
        }
    }
    assert_eq!(n_compared, 5);
}

/// Parts of a pipeline that are there where a page shows another one. The file of the resampler is missing,
/// which is seen after all keys and values of the pipeline were understood.
const PARTS: [(&str, &str); 6] = [
    ("name", "name: part\n"),
    ("seed", "seed: 1\n"),
    ("outputs", "outputs: runs\n"),
    ("cohort", "cohort: { bids: { dir: data } }\n"),
    (
        "model",
        "model:\n  encoder: { connectivity: { tokens: all } }\n  resampler: { file: missing.yaml }\n  \
         gates: { file: missing.yaml }\n  lm: { hf: lm }\n",
    ),
    ("stages", "stages:\n  - parcellate: { atlas: { id: a, labels: a.nii.gz } }\n"),
];

/// `text` in a block that stands further to the right.
fn indented(text: &str, by: usize) -> String {
    let least = text.lines().filter(|it| !it.trim().is_empty());
    let least = least.map(|it| it.len() - it.trim_start().len()).min().unwrap_or(0);
    let right = " ".repeat(by);
    let lines = text.lines().map(|it| format!("{right}{}", it.get(least..).unwrap_or("")));
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// A whole pipeline around a part of one.
fn around(block: &str) -> String {
    let lines = block.lines().map(|line| line.split(" # ").next().unwrap_or_default());
    let part = lines.filter(|line| !line.contains('…')).collect::<Vec<_>>().join("\n");
    let part = if part.starts_with("- slot:") {
        let scored = "        name: r\n        scored: [\"within_{network}\"]\n";
        let statements = indented(&part, 10);
        format!("stages:\n  - compose:\n      report:\n{scored}        statements:\n{statements}")
    } else if part.trim_start().starts_with("- ") {
        format!("stages:\n{}", indented(&part, 2))
    } else if part.starts_with("scored:") {
        let pairs = "cohort:\n  pairs:\n    table: t.csv\n    split_unit: subject\n    prompt: \"{technique}\"\n";
        format!("{pairs}    slots:\n{}", indented(&part, 6))
    } else if PARTS.iter().all(|(key, _)| !part.contains(&format!("{key}:"))) {
        // a stage by itself
        format!("stages:\n  - {}", part.trim_start())
    } else {
        part
    };
    let is_there = |key: &str| part.lines().any(|line| line.starts_with(&format!("{key}:")));
    let rest = PARTS.iter().filter(|(key, _)| !is_there(key)).map(|(_, text)| *text);
    rest.chain(["\n", &part, "\n"]).collect()
}

#[test]
fn every_part_of_a_pipeline_is_understood() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("part.yaml");
    let mut n_understood = 0;
    for page in pages().iter().filter(|page| !page.ends_with("short-scans.md")) {
        for block in fenced(&fs::read_to_string(page).expect("a page"), "yaml") {
            // two ways to write one key
            if block.matches("  lm: ").count() > 1 || block.starts_with("trainable:") {
                continue;
            }
            fs::write(&file, around(&block)).expect("a file");
            let ran = run(&["check", &file.display().to_string()]).exits_with(2);
            let found = ran.one_error();
            assert!(
                found.contains("missing.yaml: cannot read"),
                "{}\n{block}{found}",
                page.display()
            );
            n_understood += 1;
        }
    }
    assert!(n_understood > 15, "{n_understood}");
}

#[test]
fn generated_pages_are_what_the_program_prints() {
    for (name, text) in xtask::docs::generated(program()).expect("the program prints") {
        let found = fs::read_to_string(root().join("docs").join(name)).expect("a page");
        assert!(found == text, "docs/{name} is out of date: run `cargo xtask docs --write`");
    }
}
