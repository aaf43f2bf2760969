//! Templates of our own in the shapes of published ones, against what jinja2 in transformers' set-up makes of them
//! (`fixtures/chat_templates`).

use std::collections::BTreeMap;

use jiff::civil::DateTime;

use super::*;

#[derive(Deserialize)]
struct Recorded {
    now: String,
    templates: BTreeMap<String, String>,
    conversations: BTreeMap<String, Vec<Message>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    template: String,
    messages: String,
    add_generation_prompt: bool,
    rendered: Option<String>,
    raised: Option<String>,
}

fn template(source: &str) -> ChatTemplate {
    ChatTemplate::new(Path::new("lm/x.jinja"), source.to_owned(), "<s>".into(), "</s>".into())
}

#[test]
fn every_recorded_conversation_is_rendered_as_transformers_does() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/chat_templates/cases.json");
    let recorded: Recorded = serde_json::from_str(&read_text(Path::new(path)).unwrap()).unwrap();
    let now: DateTime = recorded.now.parse().unwrap();
    let (mut n_rendered, mut n_raised) = (0, 0);
    for case in &recorded.cases {
        let template = template(&recorded.templates[&case.template]);
        let messages = &recorded.conversations[&case.messages];
        let prompt = case.add_generation_prompt;
        let found = jinja::render(&template, messages, prompt, Some(now));
        let what = format!("{} {} {prompt}", case.template, case.messages);
        match (&case.rendered, &case.raised) {
            (Some(expected), _) => {
                assert_eq!(&found.unwrap(), expected, "{what}");
                n_rendered += 1;
            }
            (None, Some(expected)) => {
                let said = found.unwrap_err().to_string();
                assert!(said.ends_with(expected.as_str()) && said.contains(", line 1: "), "{said}");
                n_raised += 1;
            }
            (None, None) => panic!("{what}: nothing was recorded"),
        }
    }
    assert!(n_rendered >= 36 && n_raised >= 2, "{n_rendered} {n_raised}");
}

#[test]
fn a_template_that_is_none_is_told_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(ChatTemplate::of(folder.path()).unwrap(), None);
    let file = folder.path().join("chat_template.jinja");
    std::fs::write(&file, "{{ bos_token }}\n{% for message in messages %}\n{{ message.content }")
        .unwrap();
    let said = ChatTemplate::of(folder.path()).unwrap_err().to_string();
    assert!(said.contains("chat_template.jinja: the chat template, line 3: "), "{said}");
    let without_end = template(
        "{% for i in range(9999) %}{% for j in range(9999) %}{{ j }}{% endfor %}{% endfor %}",
    );
    let said = without_end.render(&[], true).unwrap_err().to_string();
    assert!(said.contains("x.jinja: the chat template"), "{said}");
    let said = template("\n{{ messages[0].content }}").render(&[], true).unwrap_err().to_string();
    assert!(said.contains("line 2: ") && said.contains("undefined"), "{said}");
}

#[test]
fn a_file_of_its_own_wins_over_the_config() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("tokenizer_config.json");
    let hello = [Message { role: "user".to_owned(), content: "hello".to_owned() }];
    let rendered =
        || ChatTemplate::of(folder.path()).map(|it| it.map(|it| it.render(&hello, true).unwrap()));
    std::fs::write(
        &config,
        r#"{"bos_token": {"content": "<b>"}, "chat_template": "{{ bos_token }}a"}"#,
    )
    .unwrap();
    assert_eq!(rendered().unwrap().as_deref(), Some("<b>a"));
    let list = r#"{"chat_template": [{"name": "tools", "template": "t"}, {"name": "default", "template": "d"}]}"#;
    std::fs::write(&config, list).unwrap();
    assert_eq!(rendered().unwrap().as_deref(), Some("d"));
    for (text, expected) in [
        (r#"{"chat_template": [{"name": "tools", "template": "t"}]}"#, "none is called default"),
        (r#"{"chat_template": 3}"#, "is no text and no list of named ones"),
        ("{", "EOF while parsing"),
    ] {
        std::fs::write(&config, text).unwrap();
        let said = rendered().unwrap_err().to_string();
        assert!(said.contains("tokenizer_config.json: ") && said.contains(expected), "{said}");
    }
    std::fs::write(&config, list).unwrap();
    std::fs::write(folder.path().join("chat_template.jinja"), "{{ messages[0].content }}!")
        .unwrap();
    assert_eq!(rendered().unwrap().as_deref(), Some("hello!"));
}

#[test]
fn a_frame_holds_the_words_of_the_user_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    let tokenizer = crate::train_bpe(&["viewing of faces".to_owned()], 262, &path).unwrap();
    let turns = "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content | trim }}{% endfor %}\
                 {% if add_generation_prompt %}[assistant]{% endif %}";
    let frame = template(turns).frame(&tokenizer).unwrap();
    assert_eq!(frame.around("\nLeft?  "), "<s>[user]Left?[assistant]");
    // as the template itself writes it
    let user = Message { role: "user".to_owned(), content: "\nLeft?  ".to_owned() };
    assert_eq!(frame.around("\nLeft?  "), template(turns).render(&[user], true).unwrap());
    for source in [
        "{{ messages[0].content }}{{ messages[0].content }}",
        "nothing",
        "{{ messages[0].content | upper }}",
    ] {
        let said = template(source).frame(&tokenizer).unwrap_err().to_string();
        assert!(said.contains("does not write the words of a user as they are, once"), "{said}");
    }
}
