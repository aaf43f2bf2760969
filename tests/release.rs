//! What a release promises: one version everywhere, completions, and a sentence for files of other versions.

use std::fs;

use tests::{root, run};

fn text(name: &str) -> String {
    fs::read_to_string(root().join(name)).expect(name)
}

/// The value of a line `key = "value"` or `key: value`.
fn value(text: &str, key: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(key)).expect(key);
    line.trim_start_matches([' ', '=', ':']).trim_matches('"').to_owned()
}

#[test]
fn the_version_is_the_same_everywhere() {
    let cargo = text("Cargo.toml");
    let version = value(&cargo, "version");
    assert_eq!(value(&text("CITATION.cff"), "version"), version);
    let changes = text("CHANGELOG.md");
    let date = value(&text("CITATION.cff"), "date-released");
    assert!(changes.contains(&format!("## {version} - {date}\n")), "{version}");
    // the oldest compiler that is promised is the one that the README asks for
    let rust = value(&cargo, "rust-version");
    for page in ["README.md", "docs/start.md"] {
        assert!(text(page).contains(&format!("Rust {rust} or later")), "{page}");
    }
}

#[test]
fn shells_complete_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = run(&["completions", shell]).exits_with(0);
        for word in ["neuroflamingo", "generate", "mem-mb", "completions"] {
            assert!(ran.stdout.contains(word), "{shell}: {word}");
        }
        assert_eq!(ran.stderr, "");
    }
    assert!(run(&["completions", "cmd"]).exits_with(2).stderr.contains("possible values: bash"));
}

#[test]
fn a_package_and_a_record_of_another_version_are_refused_by_their_number() {
    let folder = tempfile::tempdir().unwrap();
    let said = "found format 2, expected 1: another version of neuroflamingo wrote it";
    let package = folder.path().join("model");
    fs::create_dir(&package).unwrap();
    fs::write(package.join("model.yaml"), "format: 2\nkey_of_later: true\n").unwrap();
    let path = package.display().to_string();
    for command in ["verify", "inspect"] {
        let error = run(&["model", command, &path]).exits_with(2).one_error();
        assert!(error.contains("model.yaml") && error.contains(said), "{error}");
    }
    let encoder = "format: 2\nencoder: {}\nkey_of_later: true\n";
    fs::write(package.join("model.yaml"), encoder).unwrap();
    let error = run(&["model", "verify", &path]).exits_with(2).one_error();
    assert!(error.contains(said), "{error}");

    let outputs = folder.path().join("runs");
    fs::create_dir_all(outputs.join("cache")).unwrap();
    fs::create_dir(outputs.join("later")).unwrap();
    let record = outputs.join("later/record.json");
    fs::write(&record, r#"{ "format": 2, "stages": [] }"#).unwrap();
    let outputs = outputs.display().to_string();
    let error = run(&["store", "prune", &outputs]).exits_with(2).one_error();
    assert!(error.contains("record.json") && error.contains(said), "{error}");
    // records of versions before the number
    fs::write(&record, r#"{ "stages": [] }"#).unwrap();
    let _ = run(&["store", "prune", &outputs]).exits_with(0);
}
