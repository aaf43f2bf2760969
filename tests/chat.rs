//! Prompts in the turn of a user, as a language model's chat template writes it, with the real program.

use std::{fs, path::Path};

use serde_json::Value;
use tests::{root, run};

const SHORT: &str = "pipelines/quickstart-short.yaml";

const TEMPLATE: &str =
    "{% for message in messages %}[{{ message.role }}] {{ message.content | trim }}\n{% endfor %}
{%- if add_generation_prompt %}\n[assistant] {% endif %}";

/// The language model of the quickstart with a chat template beside it.
fn instructed(dir: &Path, template: Option<&str>) -> String {
    let folder = dir.join("lm");
    fs::create_dir_all(&folder).unwrap();
    for file in fs::read_dir(root().join("fixtures/tiny-lm")).unwrap().map(Result::unwrap) {
        fs::copy(file.path(), folder.join(file.file_name())).unwrap();
    }
    if let Some(template) = template {
        fs::write(folder.join("chat_template.jinja"), template).unwrap();
    }
    format!("model.lm={{ hf: {} }}", folder.display())
}

fn planned(sets: &[&str]) -> Value {
    let sets = sets.iter().flat_map(|it| ["--set", it]);
    let words: Vec<&str> = ["check", SHORT, "--json"].into_iter().chain(sets).collect();
    serde_json::from_str(&run(&words).exits_with(0).stdout).unwrap()
}

#[test]
fn a_prompt_is_the_users_turn_and_the_report_alone_is_learned() {
    let dir = tempfile::tempdir().unwrap();
    let lm = instructed(dir.path(), Some(TEMPLATE));
    let outputs = format!("outputs={}", dir.path().join("runs").display());
    let chat = [lm.as_str(), "model.chat=true", outputs.as_str()];
    let (plain, framed) = (planned(&[&lm, &outputs]), planned(&chat));
    // the words around the prompt are read, and what is learned is what it was
    let of = |plan: &Value, name: &str| plan["training"][name].clone();
    assert_eq!(of(&plain, "report_tokens"), of(&framed, "report_tokens"));
    let tokens = |plan: &Value| of(plan, "prompt_tokens").as_u64().unwrap();
    assert!(tokens(&framed) > tokens(&plain) + 10, "{plain} {framed}");
    let few = ["stages.finetune.steps=10", "stages.evaluate.max_pairs=28"];
    let sets = chat.iter().chain(&few).flat_map(|it| ["--set", *it]);
    let _ = run(&["run", SHORT].into_iter().chain(sets).collect::<Vec<_>>()).exits_with(0);
    let folder = dir.path().join("runs/quickstart-short");
    let report = tests::files_below(&folder)
        .into_iter()
        .find(|it| it.to_string_lossy().ends_with("run-01_win-01_desc-generated_report.json"));
    let written: Value =
        serde_json::from_str(&fs::read_to_string(report.unwrap()).unwrap()).unwrap();
    let prompt = written["prompt"].as_str().unwrap();
    assert!(prompt.starts_with("[user] <image>Technique: BOLD fMRI"), "{prompt}");
    assert!(
        prompt.ends_with(".\n[assistant] ") && prompt.matches("<image>").count() == 1,
        "{prompt}"
    );
    // the package keeps the turn, and needs no template
    let manifest = fs::read_to_string(folder.join("model/model.yaml")).unwrap();
    assert!(manifest.contains("[assistant] "), "{manifest}");
    let session = written["session"].as_str().unwrap();
    let scan = root().join(format!("fixtures/haxby2001/run0{session}/bold_1slice.nii.gz"));
    let (model, scan) = (folder.join("model").display().to_string(), scan.display().to_string());
    let words = [
        "generate",
        "--model",
        &model,
        "--scan",
        &scan,
        "--window",
        "1",
        "--max-new-tokens",
        "96",
        "--json",
    ];
    let alone: Value = serde_json::from_str(&run(&words).exits_with(0).stdout).unwrap();
    assert_eq!((&alone["prompt"], &alone["text"]), (&written["prompt"], &written["text"]));
}

#[test]
fn a_template_that_is_missing_or_bad_is_one_sentence() {
    let refused = |template: Option<&str>, expected: &str| {
        let dir = tempfile::tempdir().unwrap();
        let lm = instructed(dir.path(), template);
        let ran = run(&["check", SHORT, "--set", &lm, "--set", "model.chat=true"]).exits_with(2);
        let found = ran.one_error().clone();
        assert!(found.contains(expected), "{expected}\n{found}");
    };
    refused(
        None,
        "lm: has no chat template, neither in chat_template.jinja nor in tokenizer_config.json",
    );
    refused(
        Some("{{ bos_token }}\n{% if messages %}"),
        "chat_template.jinja: the chat template, line 2: ",
    );
    refused(Some("nothing"), "does not write the words of a user as they are, once");
    refused(
        Some("{{ raise_exception('no users here') }}"),
        "the chat template, line 1: no users here",
    );
}
