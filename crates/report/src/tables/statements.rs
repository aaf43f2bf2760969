//! The table of what reports state, slot by slot.

use serde::{Deserialize, Serialize};

use super::{Table, share};
use crate::metrics::{Findings, SlotStatements};

/// What the reports of an evaluation state, beside what is true.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatementTable {
    /// One entry a slot.
    pub slots: Vec<SlotStatements>,
    /// Over the values of all scored slots together; none where no slot is scored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub together: Option<Findings>,
}

const COLUMNS: [&str; 9] = [
    "kind",
    "truths",
    "coverage",
    "precision",
    "recall",
    "F1",
    "contradiction",
    "hallucination",
    "omission",
];

impl StatementTable {
    /// A row a slot; empty where there are no slots.
    pub fn table(&self) -> Table {
        let rows = self.slots.iter().map(|it| (it.slot.clone(), cells(it).to_vec()));
        let notes = if self.slots.is_empty() { Vec::new() } else { self.lines() };
        Table::new("statements", &COLUMNS, rows).noting(notes.into_iter())
    }

    /// Aligned columns, without colours; nothing where there are no slots.
    pub fn terminal(&self) -> String {
        self.table().terminal(7)
    }

    /// What no column has room for.
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for slot in &self.slots {
            let mut said = Vec::new();
            if let Some(number) = &slot.number {
                let mae = number.mae.map_or("–".to_owned(), |it| format!("{it:.2}"));
                said.push(format!("mean absolute error {mae}, near {}", share(number.within)));
            }
            if let Some(found) = &slot.calibration {
                said.push(format!(
                    "Brier {:.2}, ECE {:.2}, area under risk–coverage {:.2}",
                    found.brier, found.ece, found.risk_coverage.area
                ));
            }
            if let Some(it) = &slot.determined {
                let wrong = it.n - it.n_right;
                said.push(format!(
                    "determined {} of {}, {wrong} of them wrong (asked: a share of at most {}, by {} validation windows)",
                    it.n,
                    it.n_stated,
                    it.max_error,
                    it.n_validation
                ));
            }
            let counts = [
                (slot.n_contradictory, "contradictory"),
                (slot.n_hedged, "possible only"),
                (slot.n_out_of_range, "out of range"),
            ];
            let counted = counts.iter().filter(|it| it.0 > 0);
            said.extend(counted.map(|(n, what)| format!("{n} {what}")));
            if !said.is_empty() {
                lines.push(format!("{}: {}", slot.slot, said.join("; ")));
            }
        }
        if let Some(all) = &self.together
            && self.slots.iter().filter(|it| it.scored).count() > 1
        {
            let abnormal = all.abnormal.map_or_else(String::new, |it| {
                format!(", of findings {} (recall {})", share(it.f1), share(it.recall))
            });
            lines.push(format!(
                "all scored slots: F1 {} (micro), {} (macro){abnormal}",
                share(all.micro.f1),
                share(all.macro_mean.f1),
            ));
        }
        lines
    }
}

fn cells(slot: &SlotStatements) -> [String; 9] {
    let SlotStatements { rates, findings, .. } = slot;
    [
        slot.kind.clone(),
        slot.n_truth.to_string(),
        format!("{:.2}", rates.coverage),
        share(findings.micro.precision),
        share(findings.micro.recall),
        share(findings.micro.f1),
        share(rates.contradiction),
        share(rates.hallucination),
        share(rates.omission),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::{SlotReading, example::typed};

    #[test]
    fn a_table_has_a_line_a_slot_and_says_what_has_no_column() {
        let slots = typed();
        let text = "Motion: head motion was low.\nDemographics: age 36 years.";
        let parsed = slots.parse(text).slots;
        let of = |name: &str, truth: &str| {
            let idx = slots.slots().iter().position(|it| it.name == name).unwrap();
            let readings: Vec<SlotReading> = vec![parsed[idx].clone()];
            let truth = [Some(truth.to_owned())];
            SlotStatements::of(&slots.slots()[idx], true, &truth, &readings, &[vec![]]).unwrap()
        };
        let table = StatementTable {
            slots: vec![of("motion", "low"), of("age", "33"), of("artefact", "yes")],
            together: None,
        };
        let text = table.terminal();
        assert_eq!(text.lines().count(), 5, "{text}");
        assert!(text.contains("\nage: mean absolute error 3.00, near 1.00\n"), "{text}");
        assert!(text.lines().nth(3).unwrap().contains("–"), "{text}");
        assert_eq!(StatementTable::default().terminal(), "");
    }
}
