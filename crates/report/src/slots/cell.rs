//! True values from the cells of a table.

use super::{
    Slot, SlotKind,
    reading::NONE,
    slot::{NO, YES},
};
use crate::{Error, Result};

/// What tables write where nothing is known.
const MISSING: [&str; 5] = ["", "n/a", "na", "nan", "none known"];

impl Slot {
    /// The true value that a cell holds, as readings have it; none where it is empty or `n/a`. A flag takes
    /// `yes`, `true`, `1` and their opposites, a set its members with commas or semicolons between, or `none`.
    pub fn true_value(&self, cell: &str) -> Result<Option<String>> {
        let cell = cell.trim();
        if MISSING.iter().any(|it| it.eq_ignore_ascii_case(cell)) {
            return Ok(None);
        }
        let refuse = |expected: String| {
            Err(Error::BadTruth { slot: self.name.clone(), found: cell.to_owned(), expected })
        };
        let known = match &self.kind {
            SlotKind::Number(form) => {
                return match cell.trim_end_matches('+').parse::<f64>() {
                    Ok(value) if form.holds(value) => Ok(Some(form.truth(value).to_string())),
                    _ => refuse(format!("a number from {} to {}", form.range[0], form.range[1])),
                };
            }
            SlotKind::Set { .. } if cell.eq_ignore_ascii_case(NONE) => Some(NONE.to_owned()),
            SlotKind::Set { .. } => {
                let named: Vec<&str> = cell.split([',', ';']).map(str::trim).collect();
                let all = named.iter().all(|it| self.values.contains_key(*it));
                let members = self.values.keys().map(String::as_str);
                let members: Vec<&str> = members.filter(|it| named.contains(it)).collect();
                all.then(|| members.join(", "))
            }
            SlotKind::Flag => match cell.to_lowercase().as_str() {
                YES | "true" | "1" => Some(YES.to_owned()),
                NO | "false" | "0" => Some(NO.to_owned()),
                _ => None,
            },
            _ => self.values.contains_key(cell).then(|| cell.to_owned()),
        };
        match known {
            Some(value) => Ok(Some(value)),
            None => refuse(format!("one of {}", self.labels().join(", "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::slots::example::typed;

    #[test]
    fn cells_become_the_values_that_readings_have() {
        let slots = typed();
        let of = |slot: &str, cell: &str| slots.slot(slot).unwrap().true_value(cell).unwrap();
        let some = |value: &str| Some(value.to_owned());
        assert_eq!(of("age", "34.5"), some("34.5"));
        assert_eq!(of("age", "93"), some("90"));
        assert_eq!(of("age", "n/a"), None);
        assert_eq!((of("artefact", "True"), of("artefact", "0")), (some("yes"), some("no")));
        assert_eq!(of("networks", "SM; Vis"), some("Vis, SM"));
        assert_eq!(of("networks", "none"), some("none"));
        assert_eq!(of("motion", "low"), some("low"));
        let refused = |slot: &str, cell: &str| {
            slots.slot(slot).unwrap().true_value(cell).unwrap_err().to_string()
        };
        let said = "the true value of slot age is \"340\", expected a number from 0 to 120";
        assert_eq!(refused("age", "340"), said);
        assert!(refused("motion", "Low").contains("expected one of low, moderate, high"));
    }
}
