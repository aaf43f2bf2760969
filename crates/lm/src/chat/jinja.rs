//! Jinja as transformers sets it up: trimmed blocks, loop controls, Python's methods of texts and lists, `tojson`
//! without HTML escapes, `raise_exception`, `strftime_now`.

use jiff::{Zoned, civil::DateTime, fmt::strtime};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, ErrorKind, State, UndefinedBehavior, Value};
use minijinja_contrib::pycompat::unknown_method_callback;

use super::{ChatTemplate, Message};
use crate::{Error, Result};

/// The name of the one template.
const NAME: &str = "chat";

/// Steps of the interpreter that a template may take; a loop without an end is cut off.
const FUEL: u64 = 1_000_000;

type JinjaResult<T> = std::result::Result<T, minijinja::Error>;

/// An environment with the template; `now` stands in for the time of the machine.
pub(super) fn compiled(
    template: &ChatTemplate,
    now: Option<DateTime>,
) -> Result<Environment<'static>> {
    let mut jinja = Environment::new();
    let blocks = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    jinja.set_syntax(blocks.expect("the delimiters are Jinja's own"));
    jinja.set_undefined_behavior(UndefinedBehavior::Lenient);
    jinja.set_fuel(Some(FUEL));
    jinja.set_unknown_method_callback(unknown_method_callback);
    jinja.add_filter("tojson", to_json);
    jinja.add_function("raise_exception", |message: String| -> JinjaResult<Value> {
        Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
    });
    jinja.add_function("strftime_now", move |form: &str| {
        let now = now.unwrap_or_else(|| Zoned::now().datetime());
        let wrong = |error: jiff::Error| {
            minijinja::Error::new(ErrorKind::InvalidOperation, error.to_string())
        };
        strtime::format(form, now).map_err(wrong)
    });
    let source = without_generation(&template.source);
    jinja.add_template_owned(NAME, source).map_err(|error| told(template, &error))?;
    Ok(jinja)
}

/// The conversation in the template's words.
pub(super) fn render(
    template: &ChatTemplate,
    messages: &[Message],
    add_generation_prompt: bool,
    now: Option<DateTime>,
) -> Result<String> {
    let jinja = compiled(template, now)?;
    let ChatTemplate { bos_token, eos_token, .. } = template;
    let message = |it: &Message| {
        Value::from_pairs([("role", it.role.as_str()), ("content", it.content.as_str())])
    };
    let messages: Vec<Value> = messages.iter().map(message).collect();
    let given = minijinja::context! { messages, add_generation_prompt, bos_token, eos_token };
    let chat = jinja.get_template(NAME).map_err(|error| told(template, &error))?;
    chat.render(given).map_err(|error| told(template, &error))
}

/// What went wrong, and in which line.
fn told(template: &ChatTemplate, error: &minijinja::Error) -> Error {
    let line = error.line().map_or_else(String::new, |line| format!(", line {line}"));
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    let reason = format!("the chat template{line}: {detail}");
    Error::Config { path: template.path.clone(), reason }
}

/// The tags around what an assistant says, which transformers adds to find it again, as blocks that are always
/// rendered.
fn without_generation(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start);
        text.push_str(before);
        let Some(end) = tag.find("%}") else {
            rest = tag;
            break;
        };
        let (tag, after) = tag.split_at(end + 2);
        let word = tag[2..end].trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+');
        match word {
            "generation" => text.push_str(&tag.replacen("generation", "if true", 1)),
            "endgeneration" => text.push_str(&tag.replacen("endgeneration", "endif", 1)),
            _ => text.push_str(tag),
        }
        rest = after;
    }
    text + rest
}

/// Python's `json.dumps` without ASCII escapes, which transformers puts in the place of Jinja's own.
fn to_json(_: &State<'_, '_>, value: Value, options: Kwargs) -> JinjaResult<Value> {
    let indent: Option<usize> = options.get("indent")?;
    // whether letters beyond ASCII are escaped is not asked of a prompt
    let _: Option<bool> = options.get("ensure_ascii")?;
    options.assert_all_used()?;
    let mut text = String::new();
    write_json(&value, indent, 0, &mut text)?;
    Ok(Value::from_safe_string(text))
}

fn write_json(
    value: &Value,
    indent: Option<usize>,
    depth: usize,
    text: &mut String,
) -> JinjaResult<()> {
    let line = |depth: usize| {
        indent.map_or_else(String::new, |width| format!("\n{}", " ".repeat(width * depth)))
    };
    let comma = if indent.is_some() { "," } else { ", " };
    match value.kind() {
        ValueKind::Map => {
            text.push('{');
            let mut n = 0;
            for key in value.try_iter()? {
                text.push_str(if n > 0 { comma } else { "" });
                text.push_str(&line(depth + 1));
                write_json(&Value::from(key.to_string()), indent, depth + 1, text)?;
                text.push_str(": ");
                write_json(&value.get_item(&key)?, indent, depth + 1, text)?;
                n += 1;
            }
            text.push_str(&if n > 0 { line(depth) } else { String::new() });
            text.push('}');
        }
        ValueKind::Seq | ValueKind::Iterable => {
            text.push('[');
            let mut n = 0;
            for item in value.try_iter()? {
                text.push_str(if n > 0 { comma } else { "" });
                text.push_str(&line(depth + 1));
                write_json(&item, indent, depth + 1, text)?;
                n += 1;
            }
            text.push_str(&if n > 0 { line(depth) } else { String::new() });
            text.push(']');
        }
        _ => {
            let plain = serde_json::to_string(value);
            let wrong = |error: serde_json::Error| {
                minijinja::Error::new(ErrorKind::BadSerialization, error.to_string())
            };
            text.push_str(&plain.map_err(wrong)?);
        }
    }
    Ok(())
}
