//! A query against what is known of the recordings.

use std::collections::BTreeMap;

use super::{Given, Name, Node, Query, QueryError, Sign};
use crate::{entity::Entity, recording::Recording, value::Value};

/// Kind of the values of each column; none where rows differ.
type Kinds<'a> = BTreeMap<&'a str, Option<&'static str>>;

/// Refuses the first column that is not there or holds something else.
pub(super) fn check(query: &Query, recordings: &[Recording]) -> Result<(), QueryError> {
    let mut kinds = Kinds::new();
    for recording in recordings {
        for (column, value) in &recording.labels {
            let kind = kinds.entry(column).or_insert(Some(value.kind()));
            *kind = kind.filter(|kind| *kind == value.kind());
        }
        if recording.t_r.is_some() {
            kinds.entry(super::T_R).or_insert(Some(Value::Number(0.0).kind()));
        }
        for (entity, _) in recording.entities.iter() {
            kinds.insert(entity.name(), Some(Value::Text(String::new()).kind()));
        }
    }
    node(query, &query.root, &kinds)
}

fn node(query: &Query, part: &Node, kinds: &Kinds) -> Result<(), QueryError> {
    match part {
        Node::All(parts) | Node::Any(parts) => {
            parts.iter().try_for_each(|part| node(query, part, kinds))
        }
        Node::Not(part) => node(query, part, kinds),
        Node::Missing { column } => known(query, column, kinds).map(|_| ()),
        Node::Compare { column, sign, value } => {
            fits(query, column, value, kinds)?;
            let is_order = !matches!(sign, Sign::Equal | Sign::Unequal);
            if is_order && !matches!(value.value, Value::Number(_)) {
                let problem = "only numbers are smaller or larger".to_owned();
                return Err(query.error(value.span, problem));
            }
            Ok(())
        }
        Node::Among { column, values } => {
            values.iter().try_for_each(|value| fits(query, column, value, kinds))
        }
    }
}

fn known(query: &Query, column: &Name, kinds: &Kinds) -> Result<Option<&'static str>, QueryError> {
    if let Some(kind) = kinds.get(column.text.as_str()) {
        return Ok(*kind);
    }
    // an entity that no recording has is missing in all of them
    if Entity::of_name(&column.text).is_some() {
        return Ok(Some("text"));
    }
    let there: Vec<&str> = kinds.keys().copied().collect();
    let problem = format!("no column {}; there are {}", column.text, there.join(", "));
    Err(query.error(column.span, problem))
}

fn fits(query: &Query, column: &Name, given: &Given, kinds: &Kinds) -> Result<(), QueryError> {
    let kind = known(query, column, kinds)?;
    let asked = given.value.kind();
    match kind {
        Some(kind) if kind == asked => Ok(()),
        Some(kind) => {
            let cure = match (&given.value, kind) {
                (Value::Number(number), "text") => format!("; write \"{number}\""),
                _ => String::new(),
            };
            let problem = format!("column {} holds {kind}, not {asked}{cure}", column.text);
            Err(query.error(given.span, problem))
        }
        None => {
            let problem = format!("column {} holds values of several kinds", column.text);
            Err(query.error(column.span, problem))
        }
    }
}
