//! `schema`, `scan inspect`, `model inspect` and `model verify`.
use anyhow::Result;
use serde::Serialize;
use serde_json::Value;

use super::Done;
use crate::{
    args::{FileArgs, SchemaArgs},
    print,
};

pub(super) fn schema(args: SchemaArgs) -> Result<Done> {
    let schema = if args.site { pipeline::site_schema() } else { pipeline::schema() };
    print::out(schema.trim_end())?;
    Ok(Done::All)
}

pub(super) fn scan(args: &FileArgs) -> Result<Done> {
    show(args, &pipeline::inspect_scan(&args.path).map_err(pipeline::Error::from)?)
}

pub(super) fn model(args: &FileArgs) -> Result<Done> {
    if pipeline::is_encoder(&args.path) {
        let info = pipeline::inspect_encoder(&args.path).map_err(pipeline::Error::from)?;
        if args.json {
            return show(args, &info);
        }
        print::out(&super::package::encoder_described(&info))?;
        return Ok(Done::All);
    }
    let info = pipeline::inspect_model(&args.path).map_err(pipeline::Error::from)?;
    if args.json {
        return show(args, &info);
    }
    print::out(&super::package::described(&info))?;
    Ok(Done::All)
}

pub(super) fn verify(args: &FileArgs) -> Result<Done> {
    pipeline::verify_model(&args.path).map_err(pipeline::Error::from)?;
    if args.json {
        print::json(&serde_json::json!({ "whole": true }))?;
    } else {
        print::out(&format!("{}: whole", args.path.display()))?;
    }
    Ok(Done::All)
}

fn show(args: &FileArgs, found: &impl Serialize) -> Result<Done> {
    facts(args.json, found)
}

pub(super) fn facts(as_json: bool, facts: &impl Serialize) -> Result<Done> {
    let facts = serde_json::to_value(facts)?;
    if as_json {
        print::json(&facts)?;
    } else {
        let mut lines = Vec::new();
        list("", &facts, &mut lines);
        let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let line = |(name, value): &(String, String)| format!("{name:width$}  {value}");
        print::out(&lines.iter().map(line).collect::<Vec<_>>().join("\n"))?;
    }
    Ok(Done::All)
}

/// One line a fact; short lists stay on one line, lists of blocks are numbered.
fn list(name: &str, value: &Value, lines: &mut Vec<(String, String)>) {
    let child = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| list(&child(key), value, lines)),
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            let numbered = items.iter().enumerate();
            numbered.for_each(|(idx, item)| list(&child(&idx.to_string()), item, lines));
        }
        Value::Array(items) => {
            let words: Vec<String> = items.iter().map(word).collect();
            lines.push((name.to_owned(), words.join(" ")));
        }
        other => lines.push((name.to_owned(), word(other))),
    }
}

fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        other => other.to_string(),
    }
}
