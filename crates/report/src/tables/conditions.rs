//! The table of the own scan beside other scans.

use super::{Table, controls::three_digits, or_dash};
use crate::{
    counted,
    evidence::{Condition, Evidence, Grounding},
    metrics::Interval,
};

const CONDITIONS: [&str; 4] = ["windows", "2AFC", "gain, nats a token", "written"];
const GROUNDING: [&str; 6] =
    ["parcels", "stated", "changed without", "without others", "difference", "grounded"];

/// The own scan beside other scans; empty where nothing was compared.
pub fn conditions(evidence: &Evidence) -> Table {
    let rows = evidence.conditions.iter().map(|it| (it.name.clone(), cells(it).to_vec()));
    let notes = notes(&evidence.conditions).chain(contradiction(evidence));
    Table::new("own scan against", &CONDITIONS, rows).noting(notes)
}

/// Slots whose place was taken out of the scan; empty where none was.
pub fn grounding(evidence: &Evidence) -> Table {
    let rows = grounding_rows(evidence).into_iter();
    Table::new("slot without its place", &GROUNDING, rows).noting(reasons(evidence))
}

/// Both for the terminal: aligned columns, without colours; nothing where nothing was compared.
pub fn other_scans(evidence: &Evidence) -> String {
    let (conditions, grounding) = (conditions(evidence), grounding(evidence));
    let between = if grounding.is_empty() { "" } else { "\n" };
    conditions.terminal(0) + between + &grounding.terminal(0)
}

fn grounding_rows(evidence: &Evidence) -> Vec<(String, Vec<String>)> {
    let row = |it: &Grounding| {
        let place = it.place.as_ref().map_or_else(String::new, |place| format!(" ({place})"));
        let interval = |of: Option<Interval>| or_dash(of.map(|it| it.to_string()));
        let grounded = if it.is_grounded { "yes" } else { "no" };
        let cells = [
            it.n_parcels.to_string(),
            it.n_stated.to_string(),
            interval(it.grounding),
            interval(it.irrelevant_change),
            interval(it.difference),
            grounded.to_owned(),
        ];
        (format!("{}{place}", it.slot), cells.to_vec())
    };
    evidence.grounding.iter().map(row).collect()
}

fn reasons(evidence: &Evidence) -> impl Iterator<Item = String> {
    let said = |it: &Grounding| it.reason.as_ref().map(|reason| format!("{}: {reason}", it.slot));
    evidence.grounding.iter().filter_map(said)
}

fn contradiction(evidence: &Evidence) -> Option<String> {
    let found = evidence.contradiction.as_ref()?;
    let left_out = match found.n_left_out {
        0 => String::new(),
        n => format!("; {} left out", counted(n, "window")),
    };
    Some(format!(
        "prompt against scan: told another value of {} before, {} of {} say so, and {} what they say \
         without it{left_out}",
        found.slot,
        found.prompt_wins,
        counted(found.n_windows, "report"),
        found.scan_wins,
    ))
}

fn notes(conditions: &[Condition]) -> impl Iterator<Item = String> {
    conditions.iter().filter_map(|it| it.note.as_ref().map(|note| format!("{}: {note}", it.name)))
}

fn cells(condition: &Condition) -> [String; 4] {
    let Condition { n_windows, two_afc, likelihood_gain, written, .. } = condition;
    [
        n_windows.to_string(),
        or_dash(two_afc.map(|it| it.to_string())),
        or_dash(likelihood_gain.map(three_digits)),
        or_dash(written.map(|it| it.to_string())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{EvidenceConfig, Occluded, OccludedSlot, ToldOtherwise, example};

    #[test]
    fn every_condition_has_a_line_and_what_is_left_out_is_said() {
        let mut input = example::seeing(16);
        input.truth[3] = "boat".to_owned();
        let evidence = Evidence::measure(&input, &EvidenceConfig::standard(1)).unwrap();
        let text = other_scans(&evidence);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("own scan against"), "{text}");
        assert!(lines[1].starts_with("another run's scan   "), "{text}");
        assert!(
            lines[2].starts_with("another run's scan of the same label       15  1.00"),
            "{text}"
        );
        let last = "another run's scan of the same label: 1 window left out, alone with the label";
        assert_eq!((lines.len(), lines[3]), (4, last), "{text}");
        assert!(grounding(&evidence).is_empty() && !text.contains("prompt against scan"));
        let table = conditions(&evidence);
        assert_eq!((table.rows.len(), table.columns.len()), (2, 4));
        assert!(!text.contains("NaN") && !text.contains("inf"));
    }

    #[test]
    fn places_and_prompts_have_their_lines() {
        let mut input = example::seeing(16);
        let occluded = Occluded {
            n_parcels: 4,
            own: input.stated.clone(),
            without: vec![None; 16],
            control: input.stated.clone(),
            nll_without: vec![1.0; 16],
            nll_control: vec![0.5; 16],
        };
        let place = Some("network Vis".to_owned());
        input.occluded.push(OccludedSlot {
            slot: "seen".to_owned(),
            place,
            occluded: Ok(occluded),
        });
        let occluded = Err("not occludable: it has no place".to_owned());
        input.occluded.push(OccludedSlot { slot: "age".to_owned(), place: None, occluded });
        input.told_otherwise = Some(ToldOtherwise {
            slot: "seen".to_owned(),
            told: vec![Some("boat".to_owned()); 16],
            stated: vec![Some("boat".to_owned()); 16],
            plain: input.stated.clone(),
        });
        let evidence = Evidence::measure(&input, &EvidenceConfig::standard(1)).unwrap();
        let text = other_scans(&evidence);
        let line = |start: &str| text.lines().find(|it| it.starts_with(start)).unwrap();
        let words: Vec<&str> = line("seen (network Vis)").split_whitespace().collect();
        assert_eq!((words[3], words[4], words[5], words.last()), ("4", "16", "1.00", Some(&"yes")));
        assert!(line("age ").ends_with("no"), "{text}");
        line("age: not occludable: it has no place");
        let said = line("prompt against scan: told another value of seen before, 1.00 [");
        assert!(said.contains("] of 16 reports say so, and 0.00 ["), "{said}");
    }
}
