//! The table of the own scan beside other scans.

use std::fmt::Write;

use super::html::escape;
use crate::{
    counted,
    evidence::{Condition, Evidence, Grounding},
    metrics::Interval,
};

const CONDITIONS: [&str; 4] = ["windows", "2AFC", "gain, nats a token", "written"];
const GROUNDING: [&str; 6] =
    ["parcels", "stated", "changed without", "without others", "difference", "grounded"];

/// Aligned columns, without colours; nothing where nothing was compared.
pub fn terminal(evidence: &Evidence) -> String {
    let mut text = String::new();
    let rows = evidence.conditions.iter().map(|it| (it.name.clone(), cells(it).to_vec()));
    aligned(&mut text, "own scan against", &CONDITIONS, &rows.collect::<Vec<_>>());
    let mut line = |said: &str| writeln!(text, "{said}").expect("a String takes all");
    notes(&evidence.conditions).for_each(|note| line(&note));
    contradiction(evidence).into_iter().for_each(|said| line(&said));
    if !evidence.grounding.is_empty() {
        text.push('\n');
        aligned(&mut text, "slot without its place", &GROUNDING, &grounding_rows(evidence));
        for reason in reasons(evidence) {
            writeln!(text, "{reason}").expect("a String takes all");
        }
    }
    text
}

fn aligned(text: &mut String, head: &str, columns: &[&str], rows: &[(String, Vec<String>)]) {
    if rows.is_empty() {
        return;
    }
    let names = rows.iter().map(|it| it.0.chars().count());
    let width = names.chain([head.len()]).max().unwrap_or_default();
    let wide = |at: usize| {
        rows.iter().map(|row| row.1[at].chars().count()).fold(columns[at].len(), usize::max)
    };
    let widths: Vec<usize> = (0..columns.len()).map(wide).collect();
    let mut line = |name: &str, cells: &[&str]| {
        write!(text, "{name:width$}").expect("a String takes all");
        for (cell, w) in cells.iter().zip(&widths) {
            write!(text, "  {cell:>w$}").expect("a String takes all");
        }
        text.push('\n');
    };
    line(head, columns);
    for (name, cells) in rows {
        line(name, &cells.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

/// The same for the page.
pub(super) fn html(evidence: &Evidence) -> String {
    let mut html = String::new();
    let rows = evidence.conditions.iter().map(|it| (it.name.clone(), cells(it).to_vec()));
    tabled(&mut html, "own scan against", &CONDITIONS, &rows.collect::<Vec<_>>());
    for note in notes(&evidence.conditions).chain(contradiction(evidence)) {
        writeln!(html, "<p>{}</p>", escape(&note)).expect("a String takes all");
    }
    html.push_str(
        "<p class=\"soft\">By chance 2AFC is 0.50, and gain and written are 0. A model that knows only what is \
         typical of a label is at chance against scans of the same label. What no scan of the cohort looks like, \
         such as a mean or a surrogate, may be unlikely for that alone.</p>\n",
    );
    if evidence.grounding.is_empty() {
        return html;
    }
    tabled(&mut html, "slot without its place", &GROUNDING, &grounding_rows(evidence));
    for reason in reasons(evidence) {
        writeln!(html, "<p>{}</p>", escape(&reason)).expect("a String takes all");
    }
    html.push_str(
        "<p class=\"soft\">The parcels of a slot's place hold their training mean, and in another pass as many \
         other parcels do. Of the reports that state the slot: the share that then states something else, or \
         nothing. Grounded: the lower end of the difference is above 0.</p>\n",
    );
    html
}

fn tabled(html: &mut String, head: &str, columns: &[&str], rows: &[(String, Vec<String>)]) {
    if rows.is_empty() {
        return;
    }
    write!(html, "<div class=\"scroll\"><table><thead><tr><th scope=\"col\">{head}</th>")
        .expect("a String takes all");
    for column in columns {
        write!(html, "<th scope=\"col\">{column}</th>").expect("a String takes all");
    }
    html.push_str("</tr></thead><tbody>\n");
    for (name, cells) in rows {
        write!(html, "<tr><th scope=\"row\">{}</th>", escape(name)).expect("a String takes all");
        for cell in cells {
            write!(html, "<td>{}</td>", escape(cell)).expect("a String takes all");
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody></table></div>\n");
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

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "–".to_owned())
}

/// Nats a token are small.
pub(super) fn three_digits(interval: Interval) -> String {
    if !interval.width().is_finite() {
        return format!("{:.3} [interval unknown]", interval.estimate);
    }
    let Interval { estimate, low, high } = interval;
    let [estimate, low, high] = [estimate, low, high].map(|it| {
        let text = format!("{it:.3}");
        if text == "-0.000" { "0.000".to_owned() } else { text }
    });
    format!("{estimate} [{low}, {high}]")
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
        let text = terminal(&evidence);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("own scan against"), "{text}");
        assert!(lines[1].starts_with("another run's scan   "), "{text}");
        assert!(
            lines[2].starts_with("another run's scan of the same label       15  1.00"),
            "{text}"
        );
        let last = "another run's scan of the same label: 1 window left out, alone with the label";
        assert_eq!((lines.len(), lines[3]), (4, last), "{text}");
        let html = html(&evidence);
        assert!(!html.contains("slot without its place") && !text.contains("prompt against scan"));
        assert_eq!((html.matches("<tr>").count(), html.matches("<td>").count()), (3, 8));
        assert!(!html.contains("NaN") && !html.contains("inf"));
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
        let text = terminal(&evidence);
        let line = |start: &str| text.lines().find(|it| it.starts_with(start)).unwrap();
        let words: Vec<&str> = line("seen (network Vis)").split_whitespace().collect();
        assert_eq!((words[3], words[4], words[5], words.last()), ("4", "16", "1.00", Some(&"yes")));
        assert!(line("age ").ends_with("no"), "{text}");
        line("age: not occludable: it has no place");
        let said = line("prompt against scan: told another value of seen before, 1.00 [");
        assert!(said.contains("] of 16 reports say so, and 0.00 ["), "{said}");
        let html = html(&evidence);
        assert!(
            html.contains("seen (network Vis)") && html.contains("prompt against scan"),
            "{html}"
        );
    }
}
