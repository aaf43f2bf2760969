//! The page of a run: one file, nothing fetched, no script.

use std::fmt::Write;

use super::{
    StatementTable, SummaryTable, WindowMap, controls, differences,
    html::escape,
    svg::{self, CurvePoint},
};
use crate::{
    evidence::{Answer, Evidence, Reason},
    generated::{DISCLAIMER, GeneratedReport},
    metrics::{Reliability, SlotScores, n_distinct},
};

/// The style of every page, dark and light.
pub const STYLE: &str = include_str!("page.css");

/// Everything a page shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The name of the run.
    pub title: String,
    /// The controls and their verdict.
    pub evidence: Evidence,
    /// Generated reports beside controls and baselines.
    pub table: SummaryTable,
    /// Scores of the first scored slot; none of free text, and of numbers and sets.
    pub scores: Option<SlotScores>,
    /// Calibration of the first scored slot that has probabilities.
    pub reliability: Option<Reliability>,
    /// What is stated in every slot.
    pub statements: StatementTable,
    /// How the fit went.
    pub curve: Vec<CurvePoint>,
    /// One entry a window.
    pub reports: Vec<PageReport>,
    /// What was done with what: name and value.
    pub methods: Vec<(String, String)>,
}

/// One window on the page.
#[derive(Clone, Debug, PartialEq)]
pub struct PageReport {
    /// What was written.
    pub report: GeneratedReport,
    /// The scored slots; none of free text.
    pub scored: Vec<OnPage>,
    /// The true report, where no slot is scored.
    pub truth: Option<String>,
    /// A slice of the window.
    pub map: Option<WindowMap>,
    /// What the model writes after the same prompt where it sees something else: in which case, and the text.
    pub beside: Vec<(String, String)>,
}

/// One scored slot of a report.
#[derive(Clone, Debug, PartialEq)]
pub struct OnPage {
    /// The slot.
    pub slot: String,
    /// Its true value; empty where none is known.
    pub truth: String,
    /// What is stated, if exactly one value is.
    pub stated: Option<String>,
    /// Whether that is right.
    pub is_right: bool,
    /// Its probability.
    pub confidence: Option<f64>,
}

impl Page {
    /// The whole page.
    pub fn html(&self) -> String {
        let title = escape(&self.title);
        let mut html = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
             <h1>{title}</h1>\n<p class=\"soft\">{DISCLAIMER}</p>\n"
        );
        html.push_str(&self.banner());
        html.push_str(&self.summary());
        html.push_str(&self.statements.html());
        html.push_str(&self.controls());
        html.push_str(&self.figures());
        html.push_str(&self.windows());
        html.push_str(&self.colophon());
        html.push_str("</body>\n</html>\n");
        html
    }

    fn banner(&self) -> String {
        let verdict = &self.evidence.verdict;
        let (loud, meaning) = match verdict.answer {
            Answer::Yes => (
                "",
                "True reports are likelier with their own scan than with a scan of another label, and what \
                 is written fits its own scan better than another person's, both beyond chance.",
            ),
            Answer::No => (
                "<strong>The text does not depend on the scan.</strong>",
                "With another scan these reports would be as likely. Do not read them as findings.",
            ),
            Answer::Undecided => ("", undecided(verdict.reason)),
        };
        format!(
            "<section class=\"banner {}\" role=\"status\">{loud}<code>{}</code>\
             <p>{meaning}</p><p>{}</p></section>\n",
            verdict.answer.word(),
            escape(&verdict.to_string()),
            verdict.units(),
        )
    }

    fn summary(&self) -> String {
        let (title, stated) = match &self.scores {
            None => ("Likeness to the true reports", String::new()),
            Some(scores) => {
                let precision = scores.precision.map_or("none".to_owned(), |p| format!("{p:.2}"));
                let SlotScores { n_stated, n, n_correct, .. } = scores;
                let said = format!(
                    "Stated in {n_stated} of {n} reports, right in {n_correct} (precision {precision}). "
                );
                ("Accuracy of the scored slot", said)
            }
        };
        let n_scored = self.statements.slots.iter().filter(|it| it.scored).count();
        let (title, stated) = match n_scored {
            0 | 1 => (title.to_owned(), stated),
            n => (format!("Accuracy, mean of {n} scored slots"), String::new()),
        };
        format!(
            "<h2>{title}</h2>\n<div class=\"scroll\">{}</div>\n\
             <p class=\"soft\">{stated}\
             Good: generated far above shuffled, no scan and majority, near the linear models. \
             Bad: generated level with shuffled. Bars: estimate; lines: 95 % interval.</p>\n",
            self.table.html(),
        )
    }

    fn controls(&self) -> String {
        let texts: Vec<&str> =
            self.reports.iter().map(|entry| entry.report.text.as_str()).collect();
        controls::section(&self.evidence, n_distinct(&texts), texts.len())
    }

    fn figures(&self) -> String {
        let shuffled = &self.evidence.shuffled;
        let histogram = svg::permutation_histogram(
            self.evidence.accuracy.estimate,
            &shuffled.draws,
            self.evidence.retrieval.n,
        );
        let figure = |title: &str, svg: String, caption: &str| {
            format!(
                "<h2>{title}</h2>\n<figure><div class=\"scroll\">{svg}</div>\
                 <figcaption>{caption}</figcaption></figure>\n"
            )
        };
        figure(
            "Right scans against shuffled scans",
            histogram,
            &format!(
                "{} when the scans are dealt to the prompts at random, {} deals, and with the \
                 right scans (p = {:.3}). Good: the line far to the right of the bars. Bad: the line \
                 among them.",
                self.evidence.measure.heading(),
                shuffled.draws.len(),
                shuffled.p
            ),
        ) + &self.scores.as_ref().map_or_else(String::new, |scores| figure(
            "Stated and true values",
            svg::confusion(&scores.confusion),
            "Rows: true value; columns: stated value; numbers: reports; shade: share of the row. Good: \
             dark framed diagonal. Bad: one dark column, the same answer for every scan.",
        )) + &self.reliability.as_ref().map_or_else(String::new, |reliability| figure(
            "Calibration of the confidence",
            svg::reliability(reliability),
            "Confidence in the most probable value against the share that is right, in bins of equal \
             size. Good: points on the diagonal. Bad: points below it, confident and wrong.",
        )) + &figure(
            "Training",
            svg::loss_curve(&self.curve),
            "Loss on the training windows and on the validation windows, which select the step. Good: both \
             fall. Bad: the dashed line rises while the other falls (overfitting).",
        )
    }

    fn windows(&self) -> String {
        let mut html = String::from("<h2>Reports</h2>\n<div class=\"reports\">\n");
        for entry in &self.reports {
            html.push_str(&entry.html(self.evidence.verdict.answer));
        }
        html + "</div>\n"
    }

    fn colophon(&self) -> String {
        let mut html = String::from("<h2>Methods</h2>\n<div class=\"scroll\"><table>\n");
        for (name, value) in &self.methods {
            writeln!(
                html,
                "<tr><th scope=\"row\">{}</th><td>{}</td></tr>",
                escape(name),
                escape(value)
            )
            .expect("a String takes every line");
        }
        html.push_str(
            "</table></div>\n<p class=\"soft\">Intervals are 95 %: Student's t over whole units, by jackknife; \
             of accuracies on the logit scale, of forced choice on the arcsine scale. Distractors differ \
             in the scored slot. Probabilities compare the allowed values of a slot at the place where \
             it is stated.</p>\n",
        );
        html + &format!("<footer><p><strong>{DISCLAIMER}</strong></p></footer>\n")
    }
}

/// What an undecided answer leaves open.
fn undecided(reason: Option<Reason>) -> &'static str {
    match reason {
        Some(Reason::LikelihoodOnly) => {
            "True reports are likelier with their own scan, but what the model writes does not fit its \
             own scan better than another person's. Do not read the texts as findings."
        }
        Some(Reason::WrittenOnly) => {
            "What the model writes fits its own scan better than another person's, but true reports are \
             not likelier with their own scan."
        }
        Some(Reason::TooFewUnits) => {
            "Too few independent units to tell whether the text depends on the scan."
        }
        Some(Reason::Permutation | Reason::WideInterval) | None => {
            "These windows cannot tell whether the text depends on the scan."
        }
    }
}

impl PageReport {
    fn html(&self, answer: Answer) -> String {
        let GeneratedReport { subject, session, window, text, .. } = &self.report;
        let (class, judged) = self.judged();
        let stamp = match answer {
            Answer::Yes => "",
            Answer::No => " <span class=\"stamp\">NOT SCAN-DEPENDENT</span>",
            Answer::Undecided => " <span class=\"stamp\">SCAN DEPENDENCE UNDECIDED</span>",
        };
        let session = session.as_ref().map_or(String::new(), |ses| format!(", session {ses}"));
        format!(
            "<article class=\"{class}\">{}<h3>Subject {}{}, {}{stamp}</h3>\
             <pre>{}</pre>{}<p class=\"soft\">{judged}. {}. \
             {DISCLAIMER}</p></article>\n",
            self.map.as_ref().map_or(String::new(), WindowMap::html),
            escape(subject),
            escape(&session),
            window.stretch(),
            escape(text.trim()),
            self.beside(),
            escape(&window.scan),
        )
    }

    /// The other texts, with the words marked that are not in the report.
    fn beside(&self) -> String {
        let own = self.report.text.trim();
        let each = self.beside.iter().map(|(what, text)| {
            let same = if text.trim() == own { ": the same text" } else { "" };
            let text = if same.is_empty() {
                format!("<pre>{}</pre>", differences::marked(own, text.trim()))
            } else {
                String::new()
            };
            format!("<p class=\"soft\">{}{same}</p>{text}", escape(what))
        });
        let each: String = each.collect();
        if each.is_empty() {
            each
        } else {
            format!("<details><summary>Other scans</summary>{each}</details>")
        }
    }

    /// The class of the article, and each scored slot with its truth.
    fn judged(&self) -> (&'static str, String) {
        if let Some(truth) = &self.truth {
            return ("", format!("True report: {}", escape(truth.trim())));
        }
        let several = self.scored.len() > 1;
        let said = self.scored.iter().map(|it| {
            let mark = match &it.stated {
                Some(_) if it.is_right => "✓ right",
                Some(_) => "✗ wrong",
                None => "✗ not stated",
            };
            let slot = if several { format!("{} ", escape(&it.slot)) } else { String::new() };
            let (truth, stated) = (escape(&it.truth), it.stated.as_deref().unwrap_or("nothing"));
            let confidence = it.confidence.filter(|_| it.stated.is_some());
            let confidence =
                confidence.map_or(String::new(), |p| format!(" with probability {p:.2}"));
            format!("{slot}{mark}: true value {truth}, stated {}{confidence}", escape(stated))
        });
        let said: Vec<String> = said.collect();
        let all = self.scored.iter().all(|it| it.is_right);
        (if all { "right" } else { "wrong" }, said.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        evidence::{EvidenceConfig, EvidenceInput},
        generated::example,
        metrics::{reliability, slot_scores},
    };

    fn page(input: &EvidenceInput) -> Page {
        let evidence = Evidence::measure(input, &EvidenceConfig::standard(1)).unwrap();
        let labels = ["cat", "face", "house", "shoe"].map(str::to_owned);
        let truth: Vec<Option<&str>> = input.truth.iter().map(|t| Some(t.as_str())).collect();
        let stated: Vec<Option<&str>> =
            (0..truth.len()).map(|i| input.value[i][i].as_deref()).collect();
        let point = |step: usize| CurvePoint {
            step,
            train: Some(3.0 / (1.0 + step as f64 / 40.0)),
            validation: step.is_multiple_of(10).then(|| 1.0 + (step as f64 - 120.0).powi(2) / 2e4),
        };
        let rows = vec![vec![0.0, 1.0], vec![1.0, 0.5]];
        let map = WindowMap { rows, zooms_mm: [3.0, 3.0], caption: "slice".to_owned() };
        Page {
            title: "quick <start>".to_owned(),
            table: SummaryTable::new(&evidence),
            scores: Some(slot_scores(&labels, &truth, &stated).unwrap()),
            reliability: Some(reliability(&vec![vec![0.7, 0.3]; 16], &[0; 16]).unwrap()),
            statements: StatementTable::default(),
            curve: (0..200).map(point).collect(),
            reports: vec![PageReport {
                report: example::faces(),
                scored: vec![OnPage {
                    slot: "viewed".to_owned(),
                    truth: "face".to_owned(),
                    stated: Some("face".to_owned()),
                    is_right: true,
                    confidence: Some(0.625),
                }],
                truth: None,
                map: Some(map),
                beside: vec![
                    ("Without a scan".to_owned(), "Findings: <none>.".to_owned()),
                    ("With the scan of somebody else".to_owned(), example::faces().text),
                ],
            }],
            methods: vec![("seed".to_owned(), "7".to_owned())],
            evidence,
        }
    }

    #[test]
    fn a_page_is_whole_and_fetches_nothing() {
        let html = page(&crate::evidence::example::seeing(16)).html();
        assert!(
            html.contains(
                "SCAN-DEPENDENT: yes (2AFC 1.00 [0.79, 1.00], written 0.75 [0.54, 0.75], "
            )
        );
        assert!(html.contains("intervals over windows)"));
        assert!(
            html.contains("<p>Intervals resample 16 windows, because there are only 1 subject")
        );
        assert!(html.contains("quick &lt;start&gt;") && html.contains("data:image/png"));
        assert!(html.contains("Findings: <mark>&lt;none&gt;.</mark>"), "{html}");
        assert!(html.contains("With the scan of somebody else: the same text"));
        assert_eq!(html.matches("<svg").count(), 4);
        assert_eq!(html.matches("<svg").count(), html.matches("</svg>").count());
        let links = html.replace("http://www.w3.org/2000/svg", "");
        assert!(!links.contains("http") && !links.contains("<script") && !links.contains("url("));
        assert!(!html.contains("NaN") && html.matches(DISCLAIMER).count() >= 3);
    }

    #[test]
    fn free_text_stands_beside_the_true_report() {
        let mut page = page(&crate::evidence::example::seeing(16));
        (page.scores, page.reliability) = (None, None);
        page.reports[0].scored.clear();
        page.reports[0].truth = Some("Findings: none.".to_owned());
        let html = page.html();
        assert!(html.contains("True report: Findings: none.") && !html.contains("true value"));
        assert!(html.contains("<h2>Likeness to the true reports</h2>"));
        assert_eq!(html.matches("<svg").count(), 2);
    }

    #[test]
    fn a_no_is_stamped_on_page_and_reports() {
        let yes = page(&crate::evidence::example::seeing(16)).html();
        let no = page(&crate::evidence::example::blind(16)).html();
        assert!(no.contains("class=\"banner no\"") && no.contains("SCAN-DEPENDENT: no"));
        assert!(no.contains("<strong>The text does not depend on the scan.</strong>"));
        assert!(no.contains("NOT SCAN-DEPENDENT") && !yes.contains("NOT SCAN-DEPENDENT"));
    }

    #[test]
    fn a_page_speaks_of_no_experiment_but_its_own() {
        let mut input = crate::evidence::example::seeing(16);
        let seen = page(&input).html();
        input.value.iter_mut().for_each(|row| row.fill(None));
        input.stated.fill(None);
        let gibberish = page(&input).html();
        assert!(gibberish.contains("undecided (likelihood yes, written text no; 2AFC"));
        assert!(gibberish.contains("what the model writes does not fit its own scan better"));
        for html in [seen, gibberish] {
            // but for the texts of the reports themselves
            let page = html.replace(&example::faces().text, "");
            for word in ["stimul", "shown", "viewed", "picture"] {
                assert!(!page.contains(word), "{word}");
            }
        }
    }

    #[test]
    fn seconds_are_written_as_people_write_them() {
        let mut page = page(&crate::evidence::example::seeing(16));
        let window = &mut page.reports[0].report.window;
        (window.onset_s, window.duration_s) = (252.742, 12.0);
        assert!(page.html().contains("252.742 s to 264.742 s"));
    }
}
