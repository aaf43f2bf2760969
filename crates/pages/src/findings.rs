//! What was found out about the texts of a model: the verdict in large type, the scores, the controls.

use report::{
    counted,
    evidence::{Answer, Evidence, Measure, MissingBaseline, Reason, Verdict},
    metrics::{Interval, Reliability, SlotScores},
    tables::{
        Control, StatementTable, SummaryRow, SummaryTable, Table, conditions, controls, grounding,
    },
};

use crate::{
    figures::{
        CurvePoint, Curves, Svg, confusion, gates, loss_curve, permutation_histogram, reliability,
        risk_coverage,
    },
    html::Figure,
};

/// People in the table of accuracies; each has it beside the name in the list, too.
const MOST_PEOPLE: usize = 200;

/// Everything that an evaluation found.
#[derive(Clone, Debug, PartialEq)]
pub struct Findings {
    /// The controls and their verdict.
    pub evidence: Evidence,
    /// Generated reports beside controls and baselines.
    pub table: SummaryTable,
    /// Scores of the first scored slot; none of free text and of sets.
    pub scores: Option<SlotScores>,
    /// Calibration of the first scored slot that has probabilities.
    pub reliability: Option<Reliability>,
    /// What is stated in every slot.
    pub statements: StatementTable,
    /// How the fit went.
    pub curve: Vec<CurvePoint>,
    /// Generated texts.
    pub n_texts: usize,
    /// Different ones among them.
    pub n_distinct: usize,
    /// Of each person, how many scored statements are right.
    pub people: Vec<Answers>,
    /// The same of groups of people: what divides them, and the groups.
    pub groups: Vec<(String, Vec<Answers>)>,
}

/// Scored statements of a person or a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// Whose.
    pub name: String,
    /// Windows with a true value.
    pub n_windows: usize,
    /// Scored slots of these with a true value.
    pub n: usize,
    /// Those of them that are stated rightly.
    pub n_right: usize,
}

/// The one line, as pages show it.
pub(crate) struct Line {
    pub(crate) class: &'static str,
    pub(crate) is_no: bool,
    pub(crate) text: String,
}

impl Line {
    pub(crate) fn of(verdict: &Verdict) -> Self {
        Self {
            class: verdict.answer.word(),
            is_no: verdict.answer == Answer::No,
            text: verdict.to_string(),
        }
    }
}

/// A row of the table of scores, with the ends of its bar in percent.
pub(crate) struct Row<'a> {
    pub(crate) name: &'a str,
    pub(crate) estimate: String,
    pub(crate) interval: String,
    pub(crate) width: String,
    pub(crate) low: String,
    pub(crate) span: String,
}

/// As the template shows it.
pub(crate) struct Shown<'a> {
    pub(crate) verdict: Line,
    pub(crate) meaning: &'static str,
    pub(crate) units: String,
    pub(crate) heading: String,
    pub(crate) stated: String,
    pub(crate) measure: &'static str,
    pub(crate) intervals: &'a str,
    pub(crate) rows: Vec<Row<'a>>,
    pub(crate) missing: &'a [MissingBaseline],
    pub(crate) accuracy: Vec<Table>,
    pub(crate) statements: Table,
    pub(crate) controls: Vec<Control>,
    pub(crate) conditions: Table,
    pub(crate) grounding: Table,
    pub(crate) figures: Vec<Figure>,
}

impl Findings {
    pub(crate) fn shown(&self) -> Shown<'_> {
        let (heading, stated) = self.heading();
        Shown {
            verdict: Line::of(&self.evidence.verdict),
            meaning: meaning(&self.evidence.verdict),
            units: self.evidence.verdict.units(),
            heading,
            stated,
            measure: self.table.measure.name(),
            intervals: &self.table.intervals,
            rows: self.table.rows.iter().map(Row::of).collect(),
            missing: &self.table.missing,
            accuracy: self.accuracy(),
            statements: self.statements.table(),
            controls: controls(&self.evidence, self.n_distinct, self.n_texts),
            conditions: conditions(&self.evidence),
            grounding: grounding(&self.evidence),
            figures: self.figures().into_iter().map(|(_, figure)| figure).collect(),
        }
    }

    fn heading(&self) -> (String, String) {
        let n_scored = self.statements.slots.iter().filter(|it| it.scored).count();
        match &self.scores {
            _ if n_scored > 1 => {
                (format!("Accuracy, mean of {n_scored} scored slots"), String::new())
            }
            None if self.evidence.measure == Measure::Accuracy => {
                ("Accuracy of the scored slot".to_owned(), String::new())
            }
            None => ("Likeness to the true reports".to_owned(), String::new()),
            Some(SlotScores { n_stated, n, n_correct, precision, .. }) => {
                let precision = precision.map_or("none".to_owned(), |p| format!("{p:.2}"));
                let stated = format!(
                    "Stated in {n_stated} of {n} reports, right in {n_correct} (precision {precision}). "
                );
                ("Accuracy of the scored slot".to_owned(), stated)
            }
        }
    }

    /// Tables of people and of groups of them, the least right first.
    fn accuracy(&self) -> Vec<Table> {
        let people = [("person".to_owned(), self.people.clone())];
        let several =
            people.iter().chain(&self.groups).filter(|(_, all)| all.iter().any(|it| it.n > 0));
        let table = |(what, all): &(String, Vec<Answers>)| {
            let mut all: Vec<&Answers> = all.iter().filter(|it| it.n > 0).collect();
            all.sort_by(|a, b| a.share().total_cmp(&b.share()).then_with(|| a.name.cmp(&b.name)));
            let beyond = all.len().saturating_sub(MOST_PEOPLE);
            let row = |it: &&Answers| {
                let right = format!("{} of {}", it.n_right, it.n);
                (
                    it.name.clone(),
                    vec![it.n_windows.to_string(), right, format!("{:.2}", it.share())],
                )
            };
            let better = || format!("{} more are right at least as often", counted(beyond, what));
            Table {
                head: format!("by {what}"),
                columns: ["windows", "right", "accuracy"].map(str::to_owned).to_vec(),
                rows: all.iter().take(MOST_PEOPLE).map(row).collect(),
                notes: if beyond > 0 { vec![better()] } else { Vec::new() },
            }
        };
        several.map(table).collect()
    }

    /// The figures with the names of their files.
    pub fn figures(&self) -> Vec<(&'static str, Figure)> {
        let evidence = &self.evidence;
        let shuffled = &evidence.shuffled;
        let n_windows = evidence.retrieval.n;
        let histogram =
            permutation_histogram(evidence.accuracy.estimate, &shuffled.draws, n_windows);
        let figure = |title: &str, svg: Svg, shows: &str, good, bad| Figure {
            title: title.to_owned(),
            svg,
            shows: shows.to_owned(),
            good,
            bad,
            curves: None,
        };
        let dealt = format!(
            "{} when the scans are dealt to the prompts at random, {} deals, and with the right scans (p = {:.3}).",
            evidence.measure.heading(),
            shuffled.draws.len(),
            shuffled.p
        );
        let mut all = vec![(
            "shuffled.svg",
            figure(
                "Right scans against shuffled scans",
                histogram,
                &dealt,
                "the line far to the right of the bars.",
                "the line among them.",
            ),
        )];
        all.extend(self.scores.as_ref().map(|it| {
            let shows = "Rows: true value; columns: stated value; numbers: reports; shade: share of the row.";
            let (good, bad) =
                ("dark framed diagonal.", "one dark column, the same answer for every scan.");
            ("confusion.svg", figure("Stated and true values", confusion(&it.confusion), shows, good, bad))
        }));
        all.extend(self.reliability.as_ref().map(|it| {
            let shows = "Confidence in the most probable value against the share that is right, in bins of equal size.";
            let (good, bad) =
                ("points on the diagonal.", "points below it, confident and wrong.");
            ("reliability.svg", figure("Calibration of the confidence", reliability(it), shows, good, bad))
        }));
        let risk = self.statements.slots.iter().find_map(|it| Some((it, it.calibration.as_ref()?)));
        all.extend(risk.map(|(slot, it)| {
            let title = format!("Risk over coverage of the slot {}", slot.slot);
            let shows = "The share of wrong answers if only the surest are given, over the share that is given.";
            let (good, bad) =
                ("a line that rises from 0.", "a level line: the confidence says nothing.");
            ("risk_coverage.svg", figure(&title, risk_coverage(&it.risk_coverage), shows, good, bad))
        }));
        let shows =
            "Loss on the training windows and on the validation windows, which select the step.";
        let (good, bad) =
            ("both fall.", "the dashed line rises while the other falls (overfitting).");
        let training = figure("Training", loss_curve(&self.curve), shows, good, bad);
        all.push(("training.svg", Figure { curves: self.losses(), ..training }));
        all.extend(gates(&evidence.gates).map(|svg| {
            let shows = "How far each gate is open through which the language model looks at the scan: the hyperbolic \
                         tangent of its number, 0 before training.";
            let (good, bad) =
                ("some bars away from 0.", "all bars at 0: the model never looks at the scan.");
            let openings = figure("Gate openings", svg, shows, good, bad);
            ("gates.svg", Figure { curves: self.openings(), ..openings })
        }));
        all
    }

    /// The losses, where there are several.
    fn losses(&self) -> Option<Curves> {
        let line = |name: &str, of: fn(&CurvePoint) -> Option<f64>| {
            let values: Vec<f64> = self.curve.iter().map(|it| of(it).unwrap_or(f64::NAN)).collect();
            (format!("{name} (nats a token)"), values)
        };
        (self.curve.len() > 1).then(|| Curves {
            x: "step",
            at: self.curve.iter().map(|it| it.step as f64).collect(),
            lines: vec![line("training", |it| it.train), line("validation", |it| it.validation)],
            are_points: false,
        })
    }

    /// The gates, where there are several.
    fn openings(&self) -> Option<Curves> {
        let gates = &self.evidence.gates;
        (gates.len() > 1).then(|| Curves {
            x: "block",
            at: gates.iter().map(|it| it.block as f64).collect(),
            lines: vec![
                ("attention".to_owned(), gates.iter().map(|it| it.attention).collect()),
                ("feed-forward".to_owned(), gates.iter().map(|it| it.feed_forward).collect()),
            ],
            are_points: true,
        })
    }
}

impl Answers {
    fn share(&self) -> f64 {
        self.n_right as f64 / self.n as f64
    }
}

impl<'a> Row<'a> {
    fn of(SummaryRow { name, accuracy }: &'a SummaryRow) -> Self {
        let Interval { estimate, low, high } = accuracy;
        let percent = |x: f64| format!("{:.1}", 100.0 * x.clamp(0.0, 1.0));
        Self {
            name,
            estimate: format!("{estimate:.2}"),
            interval: format!("[{low:.2}, {high:.2}]"),
            width: percent(*estimate),
            low: percent(*low),
            span: percent(high.clamp(0.0, 1.0) - low.clamp(0.0, 1.0)),
        }
    }
}

/// What the answer means.
fn meaning(verdict: &Verdict) -> &'static str {
    match (verdict.answer, verdict.reason) {
        (Answer::Yes, _) => {
            "True reports are likelier with their own scan than with a scan of another label, and what is written \
             fits its own scan better than another person's, both beyond chance."
        }
        (Answer::No, _) => {
            "With another scan these reports would be as likely. Do not read them as findings."
        }
        (Answer::Undecided, Some(Reason::LikelihoodOnly)) => {
            "True reports are likelier with their own scan, but what the model writes does not fit its own scan \
             better than another person's. Do not read the texts as findings."
        }
        (Answer::Undecided, Some(Reason::WrittenOnly)) => {
            "What the model writes fits its own scan better than another person's, but true reports are not \
             likelier with their own scan."
        }
        (Answer::Undecided, Some(Reason::TooFewUnits)) => {
            "Too few independent units to tell whether the text depends on the scan."
        }
        (Answer::Undecided, Some(Reason::Permutation | Reason::WideInterval) | None) => {
            "These windows cannot tell whether the text depends on the scan."
        }
    }
}

#[cfg(test)]
pub(crate) mod example {
    use report::evidence::{Baseline, EvidenceConfig, EvidenceInput, GateOpening, Unit};
    use report::metrics::{reliability, slot_scores};

    use super::*;

    /// Of sixteen windows of four values; a model that sees states them, one that is blind always the first.
    pub(crate) fn findings(sees: bool) -> Findings {
        let labels = ["cat", "face", "house", "shoe"].map(str::to_owned);
        let n = 16;
        let truth: Vec<String> = (0..n).map(|idx| labels[idx % 4].clone()).collect();
        let unit = |idx: usize| Unit {
            subject: "1".to_owned(),
            scan: (idx / 8).to_string(),
            window: idx.to_string(),
            ..Unit::default()
        };
        let said = |scan: usize| Some(if sees { truth[scan].clone() } else { labels[0].clone() });
        let nll = |report: usize, scan: usize| match sees {
            true if report == scan => 0.5,
            true => 1.0 + 0.01 * scan as f64,
            false => 1.0 + 0.1 * report as f64,
        };
        let input = EvidenceInput {
            units: (0..n).map(unit).collect(),
            blocks: vec![(0..n).collect()],
            nll: (0..n).map(|i| (0..n).map(|j| nll(i, j)).collect()).collect(),
            value: (0..n).map(|_| (0..n).map(said).collect()).collect(),
            stated: (0..n).map(said).collect(),
            no_scan: vec![Some(labels[0].clone()); n],
            free_text: None,
            shares: None,
            substitutes: Vec::new(),
            occluded: Vec::new(),
            told_otherwise: None,
            majority: labels[1].clone(),
            baselines: vec![Baseline { name: "<LDA>".to_owned(), correct: vec![0.0; n] }],
            missing: vec![MissingBaseline { name: "ridge".to_owned(), reason: "a < b".to_owned() }],
            gates: vec![GateOpening { block: 0, attention: 0.2, feed_forward: -0.1 }],
            truth,
        };
        let evidence = Evidence::measure(&input, &EvidenceConfig::standard(1)).unwrap();
        let truth: Vec<Option<&str>> = input.truth.iter().map(|it| Some(it.as_str())).collect();
        let stated: Vec<Option<&str>> = input.stated.iter().map(Option::as_deref).collect();
        let answers =
            |name: &str, n_right| Answers { name: name.to_owned(), n_windows: 8, n: 8, n_right };
        Findings {
            table: SummaryTable::new(&evidence),
            scores: Some(slot_scores(&labels, &truth, &stated).unwrap()),
            reliability: Some(reliability(&vec![vec![0.7, 0.3]; 16], &[0; 16]).unwrap()),
            statements: StatementTable::default(),
            curve: vec![CurvePoint { step: 1, train: Some(3.0), validation: Some(2.0) }],
            n_texts: n,
            n_distinct: 4,
            people: vec![answers("01", 8), answers("02", 2)],
            groups: vec![("site".to_owned(), vec![answers("A & B", 5)])],
            evidence,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CohortPage;

    fn page(findings: Findings) -> String {
        let findings = Some(findings);
        let page =
            CohortPage { title: "quick <start>".to_owned(), findings, ..CohortPage::default() };
        page.pages().remove(0).1
    }

    #[test]
    fn the_verdict_and_everything_behind_it_stand_on_the_page() {
        let html = page(example::findings(true));
        for part in [
            "SCAN-DEPENDENT: yes (2AFC 1.00 [0.79, 1.00], written 0.75 [0.54, 0.75], ",
            "<p>Intervals resample 16 windows, because there are only 1 subject",
            "quick &lt;start&gt;",
            "&lt;LDA&gt;",
            "<td>missing</td><td colspan=\"2\">a &lt; b</td>",
            "over pairs of windows</th><td>1.00 [0.79, 1.00]</td><td class=\"soft\">0.50 by chance",
            "<th scope=\"row\">02</th><td>8</td><td>2 of 8</td><td>0.25</td>",
            "<th scope=\"row\">A &amp; B</th><td>8</td><td>5 of 8</td><td>0.62</td>",
            "another run&#39;s scan of the same label</th><td>16</td>",
            "Openings of the gates of 1 blocks, 0.200 at most",
        ] {
            assert!(html.contains(part), "{part} is not in {html}");
        }
        assert!(
            html.find(">02<").unwrap() < html.find(">01<").unwrap(),
            "the least right is first"
        );
        // four bars of the table, five figures
        assert_eq!(html.matches("role=\"img\"").count(), 5);
        assert_eq!(html.matches("<svg").count(), html.matches("</svg>").count());
        let links = html.replace("http://www.w3.org/2000/svg", "");
        assert!(!links.contains("://") && !links.contains("<script") && !links.contains("url("));
        assert!(!html.contains("NaN") && !html.contains("style="));
    }

    #[test]
    fn a_no_is_told_in_large_type() {
        let (yes, no) = (page(example::findings(true)), page(example::findings(false)));
        assert!(no.contains("class=\"banner no\"") && no.contains("SCAN-DEPENDENT: no"));
        let loud = "<strong>The text does not depend on the scan.</strong>";
        assert!(no.contains(loud) && !yes.contains(loud));
    }

    #[test]
    fn a_page_speaks_of_no_experiment_but_its_own() {
        let html = page(example::findings(true));
        for word in ["stimul", "shown", "viewed", "picture"] {
            assert!(!html.contains(word), "{word}");
        }
    }
}
