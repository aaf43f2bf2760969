//! The reference of pipeline files and of the file of a cluster's site, from their JSON Schemas.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write as _,
    path::Path,
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value};

/// The page.
pub(super) fn page(program: &Path) -> Result<String> {
    let pipelines = schema(program, &["schema"])?;
    let site = schema(program, &["schema", "--site"])?;
    let mut page = "# Pipeline files\n\nEvery key of a pipeline file, by where it stands; unknown keys are refused. Paths are relative \
                    to the file. Written by `cargo xtask docs --write` from what `neuroflamingo schema` prints.\n"
        .to_owned();
    Reference::new(&pipelines).write(&mut page, "pipeline");
    page.push_str("\n# The file of a cluster's site\n\nWhat `submit slurm --site` reads ([clusters.md](clusters.md)).\n");
    Reference::new(&site).write(&mut page, "site");
    Ok(page)
}

fn schema(program: &Path, words: &[&str]) -> Result<Value> {
    let output = Command::new(program).args(words).output();
    let output = output.with_context(|| program.display().to_string())?;
    ensure!(output.status.success(), "{words:?}: {}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Sections yet to be written, each a schema with the place where it was met first.
struct Reference<'a> {
    schema: &'a Value,
    /// Definitions by name, with the heading of their section.
    headings: BTreeMap<&'a str, String>,
    sections: VecDeque<(String, &'a Value)>,
    /// How many of the last ones were met in the section that is being written.
    met: usize,
}

impl<'a> Reference<'a> {
    fn new(schema: &'a Value) -> Self {
        Self { schema, headings: BTreeMap::new(), sections: VecDeque::new(), met: 0 }
    }

    fn write(mut self, page: &mut String, name: &str) {
        self.sections.push_back((name.to_owned(), self.schema));
        while let Some((heading, schema)) = self.sections.pop_front() {
            _ = write!(page, "\n## {heading}\n\n");
            let text = description(schema);
            if !text.is_empty() {
                _ = write!(page, "{text}\n\n");
            }
            // the root's keys have no prefix
            let path = if std::ptr::eq(schema, self.schema) { "" } else { heading.as_str() };
            let body = self.body(path, schema);
            page.push_str(&body);
            // what belongs to a section follows it
            self.sections.rotate_right(self.met);
            self.met = 0;
        }
    }

    /// The table of a section: keys of an object, or values to choose from.
    fn body(&mut self, path: &str, schema: &'a Value) -> String {
        if let Some(properties) = schema["properties"].as_object() {
            return self.keys(path, schema, properties);
        }
        let mut rows = "| one of | meaning |\n| --- | --- |\n".to_owned();
        for choice in choices(schema) {
            let form = self.choice(path, choice);
            _ = writeln!(rows, "| {form} | {} |", cell(&description(choice)));
        }
        rows
    }

    fn keys(
        &mut self,
        path: &str,
        schema: &'a Value,
        properties: &'a Map<String, Value>,
    ) -> String {
        let required = schema["required"].as_array();
        let is_required = |key: &str| required.is_some_and(|it| it.iter().any(|name| name == key));
        let mut rows =
            "| key | value | if absent | meaning |\n| --- | --- | --- | --- |\n".to_owned();
        for (key, value) in properties {
            let kind = self.kind(&join(path, key), value);
            let absent = match value.get("default") {
                _ if is_required(key) => "refused".to_owned(),
                Some(Value::Null) | None => "–".to_owned(),
                Some(default) => format!("`{default}`"),
            };
            let meaning = cell(&description(value));
            _ = writeln!(rows, "| `{key}` | {kind} | {} | {meaning} |", cell(&absent));
        }
        rows
    }

    /// One of the choices of a section: a word, or a key with what belongs to it.
    fn choice(&mut self, path: &str, choice: &'a Value) -> String {
        let properties = choice["properties"].as_object();
        match properties.map(|it| it.iter().collect::<Vec<_>>()).as_deref() {
            Some([(key, value)]) => {
                let kind = self.kind(&join(path, key), value);
                format!("`{key}:` {kind}")
            }
            _ => self.kind(path, choice),
        }
    }

    /// What a value may be, in words; what needs a section gets one.
    fn kind(&mut self, path: &str, schema: &'a Value) -> String {
        if let Some(reference) = schema["$ref"].as_str() {
            let name = reference.trim_start_matches("#/$defs/");
            return self.named(path, name);
        }
        if let Some(value) = schema.get("const") {
            return format!("`{}`", plain(value));
        }
        if let Some(values) = schema["enum"].as_array() {
            let values: Vec<_> = values.iter().map(|it| format!("`{}`", plain(it))).collect();
            return values.join(", ");
        }
        let choices = choices(schema);
        if !choices.is_empty() {
            let forms: Vec<_> = choices.iter().map(|it| self.choice(path, it)).collect();
            return forms.join(" or ");
        }
        if schema["properties"].is_object() {
            return self.section(path, schema);
        }
        let types = match &schema["type"] {
            Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
            one => one.as_str().into_iter().collect::<Vec<_>>(),
        };
        let types = types.into_iter().filter(|it| *it != "null").map(|name| match name {
            "array" if schema["items"].is_object() => {
                format!("list of {}", self.kind(path, &schema["items"]))
            }
            "array" => match schema["prefixItems"].as_array() {
                Some(items) => {
                    let items: Vec<_> = items.iter().map(|it| self.kind(path, it)).collect();
                    format!("[{}]", items.join(", "))
                }
                None => "list".to_owned(),
            },
            "object" if schema["additionalProperties"].is_object() => {
                format!("a name each: {}", self.kind(path, &schema["additionalProperties"]))
            }
            "object" => "keys and values".to_owned(),
            "string" => "text".to_owned(),
            "boolean" => "`true`, `false`".to_owned(),
            other => other.to_owned(),
        });
        let types: Vec<_> = types.collect();
        if types.is_empty() { "any value".to_owned() } else { types.join(" or ") }
    }

    /// A definition: its section, or what it may be where a word is enough.
    fn named(&mut self, path: &str, name: &'a str) -> String {
        if let Some(heading) = self.headings.get(name) {
            return link(heading);
        }
        let schema = &self.schema["$defs"][name];
        let wants_section = schema["properties"].is_object() || schema["oneOf"].is_array();
        if !wants_section {
            return self.kind(path, schema);
        }
        self.headings.insert(name, path.to_owned());
        self.section(path, schema)
    }

    fn section(&mut self, path: &str, schema: &'a Value) -> String {
        self.sections.push_back((path.to_owned(), schema));
        self.met += 1;
        link(path)
    }
}

/// The schemas of which a value follows one; `null`, which is the same as an absent key, is none.
fn choices(schema: &Value) -> Vec<&Value> {
    let all = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array());
    all.into_iter().flatten().filter(|it| it["type"] != "null").collect()
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// A link to the section of this heading; headings lose their points in anchors.
fn link(heading: &str) -> String {
    format!("[{heading}](#{})", heading.replace('.', ""))
}

/// The description as one line of Markdown, without the links of rustdoc.
fn description(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = text.replace("[`", "`").replace("`]", "`");
    // outside of code, what looks like a tag would be one
    let parts = text.split('`').enumerate();
    let parts = parts
        .map(|(idx, part)| if idx % 2 == 0 { part.replace('<', "\\<") } else { part.to_owned() });
    parts.collect::<Vec<_>>().join("`")
}

/// A text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_choices_and_definitions_become_sections() {
        let schema = json!({
            "properties": {
                "name": { "type": "string", "description": "Its\nname, see [`Name`]." },
                "steps": { "type": "array", "items": { "$ref": "#/$defs/Step" } },
                "size": { "type": ["integer", "null"], "default": null },
                "mean": { "type": "boolean", "default": false },
            },
            "required": ["name", "steps"],
            "$defs": {
                "Step": { "description": "One step.", "oneOf": [
                    { "const": "skip", "description": "Nothing." },
                    { "properties": { "cut": { "$ref": "#/$defs/Cut" } }, "description": "A|B." },
                ]},
                "Cut": { "properties": { "at": { "type": "number" }, "then": { "$ref": "#/$defs/Step" } } },
            },
        });
        let mut page = String::new();
        Reference::new(&schema).write(&mut page, "file");
        let expected = "
## file

| key | value | if absent | meaning |
| --- | --- | --- | --- |
| `name` | text | refused | Its name, see `Name`. |
| `steps` | list of [steps](#steps) | refused |  |
| `size` | integer | – |  |
| `mean` | `true`, `false` | `false` |  |

## steps

One step.

| one of | meaning |
| --- | --- |
| `skip` | Nothing. |
| `cut:` [steps.cut](#stepscut) | A\\|B. |

## steps.cut

| key | value | if absent | meaning |
| --- | --- | --- | --- |
| `at` | number | – |  |
| `then` | [steps](#steps) | – |  |
";
        assert_eq!(page, expected);
    }
}
