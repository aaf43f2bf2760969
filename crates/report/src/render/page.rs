//! The page of a run: one file, nothing fetched, no script.

use std::fmt::Write;

use super::{
    SummaryTable, WindowMap,
    html::escape,
    svg::{self, CurvePoint},
};
use crate::{
    evidence::{Answer, Evidence},
    generated::{DISCLAIMER, GeneratedReport},
    metrics::{Reliability, SlotScores, n_distinct},
};

const STYLE: &str = include_str!("page.css");

/// Everything a page shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The name of the run.
    pub title: String,
    /// The controls and their verdict.
    pub evidence: Evidence,
    /// Generated reports beside controls and baselines.
    pub table: SummaryTable,
    /// Scores of the scored slot.
    pub scores: SlotScores,
    /// Calibration of the scored slot.
    pub reliability: Reliability,
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
    /// What was written; its first slot is the scored one.
    pub report: GeneratedReport,
    /// What was shown.
    pub truth: String,
    /// The slice that was looked at.
    pub map: Option<WindowMap>,
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
                "Reports fit their own scan better than scans of other stimuli, beyond chance.",
            ),
            Answer::No => (
                "<strong>The text does not depend on the scan.</strong>",
                "With another scan these reports would be as likely. Do not read them as findings.",
            ),
            Answer::Undecided => {
                ("", "These windows cannot tell whether the text depends on the scan.")
            }
        };
        format!(
            "<section class=\"banner {}\" role=\"status\">{loud}<code>{}</code>\
             <p>{meaning}</p></section>\n",
            verdict.answer.word(),
            escape(&verdict.to_string()),
        )
    }

    fn summary(&self) -> String {
        let scores = &self.scores;
        let precision = scores.precision.map_or("none".to_owned(), |p| format!("{p:.2}"));
        format!(
            "<h2>Accuracy of the scored slot</h2>\n<div class=\"scroll\">{}</div>\n\
             <p class=\"soft\">Stated in {} of {} reports, right in {} (precision {precision}). \
             Good: generated far above shuffled, no scan and majority, near the linear models. \
             Bad: generated level with shuffled. Bars: estimate; lines: 95 % interval, for shuffled \
             the middle 95 % of its deals.</p>\n",
            self.table.html(),
            scores.n_stated,
            scores.n,
            scores.n_correct,
        )
    }

    fn control_rows(&self) -> Vec<(&str, String, &str)> {
        let Evidence { likelihood_gain: gain, two_afc, retrieval, reliance, .. } = &self.evidence;
        let texts: Vec<&str> =
            self.reports.iter().map(|entry| entry.report.text.as_str()).collect();
        let n_first = retrieval.recall_at_1 * retrieval.n as f64;
        let gain = format!("{:.3} [{:.3}, {:.3}]", gain.estimate, gain.low, gain.high);
        let different = format!("{} of {}", n_distinct(&texts), texts.len());
        vec![
            ("Two-alternative forced choice", two_afc.to_string(), "0.50 by chance"),
            ("Likelihood gain, nats a token", gain, "0 by chance"),
            (
                "Permutation p of that gain",
                format!("{:.3}", self.evidence.permutation_p),
                "any value alike by chance",
            ),
            (
                "Own scan is the likeliest",
                format!("{n_first:.0} of {}", retrieval.n),
                "1 by chance",
            ),
            ("Mean reciprocal rank", format!("{:.2}", retrieval.mrr), "1 at best"),
            ("Real minus shuffled accuracy", reliance.to_string(), "0 for a blind model"),
            (
                "Answers that change with the scan",
                format!("{:.2}", self.evidence.sensitivity),
                "0 for a blind model",
            ),
            ("Different texts", different, "1 when collapsed"),
        ]
    }

    fn controls(&self) -> String {
        let rows: Vec<String> = self
            .control_rows()
            .into_iter()
            .map(|(name, value, chance)| {
                format!(
                    "<tr><th scope=\"row\">{name}</th><td>{value}</td>\
                     <td class=\"soft\">{chance}</td></tr>"
                )
            })
            .collect();
        let mut html = format!(
            "<h2>Does the text depend on the scan?</h2>\n<div class=\"scroll\"><table>{}</table></div>\n",
            rows.join("\n")
        );
        if !self.evidence.gates.is_empty() {
            html.push_str(
                "<p>Gate openings, tanh; 0 before training:</p>\n\
                 <div class=\"scroll\"><table><thead><tr><th scope=\"col\">block</th>\
                 <th scope=\"col\">attention</th><th scope=\"col\">feed-forward</th></tr></thead><tbody>",
            );
            for gate in &self.evidence.gates {
                write!(
                    html,
                    "<tr><th scope=\"row\">{}</th><td>{:+.3}</td><td>{:+.3}</td></tr>",
                    gate.block, gate.attention, gate.feed_forward
                )
                .expect("a String takes every line");
            }
            html.push_str("</tbody></table></div>\n");
        }
        html
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
                "Accuracy when the scans are dealt to the prompts at random, {} deals, and with the \
                 right scans (p = {:.3}). Good: the line far to the right of the bars. Bad: the line \
                 among them.",
                shuffled.draws.len(),
                shuffled.p
            ),
        ) + &figure(
            "What was stated for what was shown",
            svg::confusion(&self.scores.confusion),
            "Rows: shown; columns: stated; numbers: reports; shade: share of the row. Good: dark framed \
             diagonal. Bad: one dark column, the same answer whatever is shown.",
        ) + &figure(
            "Whether confidence means anything",
            svg::reliability(&self.reliability),
            "Confidence in the most probable value against the share that is right, in bins of equal \
             size. Good: points on the diagonal. Bad: points below it, confident and wrong.",
        ) + &figure(
            "Training",
            svg::loss_curve(&self.curve),
            "Loss on the training windows and on the windows that choose when to stop. Good: both fall. \
             Bad: the dashed line rises while the other falls, learned by heart.",
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
            "</table></div>\n<p class=\"soft\">Intervals are percentile bootstraps of whole units. \
             Distractors differ in the scored slot. Probabilities compare the allowed values of a slot \
             at the place where it is stated.</p>\n",
        );
        html + &format!("<footer><p><strong>{DISCLAIMER}</strong></p></footer>\n")
    }
}

impl PageReport {
    fn html(&self, answer: Answer) -> String {
        let GeneratedReport { subject, session, window, text, slots, .. } = &self.report;
        let scored = slots.first();
        let stated = scored.and_then(|slot| slot.stated.as_deref());
        let (class, mark) = match stated {
            Some(value) if value == self.truth => ("right", "✓ right"),
            Some(_) => ("wrong", "✗ wrong"),
            None => ("wrong", "✗ not stated"),
        };
        let stamp = match answer {
            Answer::Yes => "",
            Answer::No => " <span class=\"stamp\">NOT SCAN-DEPENDENT</span>",
            Answer::Undecided => " <span class=\"stamp\">SCAN DEPENDENCE UNDECIDED</span>",
        };
        let session = session.as_ref().map_or(String::new(), |ses| format!(", session {ses}"));
        let confidence = scored
            .and_then(|slot| slot.confidence)
            .map_or(String::new(), |confidence| format!(" with probability {confidence:.2}"));
        format!(
            "<article class=\"{class}\">{}<h3>Subject {}{}, {} s to {} s{stamp}</h3>\
             <pre>{}</pre><p class=\"soft\">{mark}: shown {}, stated {}{confidence}. {}. \
             {DISCLAIMER}</p></article>\n",
            self.map.as_ref().map_or(String::new(), WindowMap::html),
            escape(subject),
            escape(&session),
            window.onset_s,
            window.onset_s + window.duration_s,
            escape(text.trim()),
            escape(&self.truth),
            escape(stated.unwrap_or("nothing")),
            escape(&window.scan),
        )
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
            choose: step.is_multiple_of(10).then(|| 1.0 + (step as f64 - 120.0).powi(2) / 2e4),
        };
        let rows = vec![vec![0.0, 1.0], vec![1.0, 0.5]];
        let map = WindowMap { rows, zooms_mm: [3.0, 3.0], caption: "slice".to_owned() };
        Page {
            title: "quick <start>".to_owned(),
            table: SummaryTable::new(&evidence, &[("LDA", evidence.accuracy)]),
            scores: slot_scores(&labels, &truth, &stated).unwrap(),
            reliability: reliability(&vec![vec![0.7, 0.3]; 16], &[0; 16]).unwrap(),
            curve: (0..200).map(point).collect(),
            reports: vec![PageReport {
                report: example::faces(),
                truth: "face".to_owned(),
                map: Some(map),
            }],
            methods: vec![("seed".to_owned(), "7".to_owned())],
            evidence,
        }
    }

    #[test]
    fn a_page_is_whole_and_fetches_nothing() {
        let html = page(&crate::evidence::example::seeing(16)).html();
        assert!(html.contains("SCAN-DEPENDENT: yes (2AFC 1.00 [1.00, 1.00], n=16 windows"));
        assert!(html.contains("quick &lt;start&gt;") && html.contains("data:image/png"));
        assert_eq!(html.matches("<svg").count(), 4);
        assert_eq!(html.matches("<svg").count(), html.matches("</svg>").count());
        let links = html.replace("http://www.w3.org/2000/svg", "");
        assert!(!links.contains("http") && !links.contains("<script") && !links.contains("url("));
        assert!(!html.contains("NaN") && html.matches(DISCLAIMER).count() >= 3);
    }

    #[test]
    fn a_no_is_stamped_on_page_and_reports() {
        let yes = page(&crate::evidence::example::seeing(16)).html();
        let no = page(&crate::evidence::example::blind(16)).html();
        assert!(no.contains("class=\"banner no\"") && no.contains("SCAN-DEPENDENT: no"));
        assert!(no.contains("<strong>The text does not depend on the scan.</strong>"));
        assert!(no.contains("NOT SCAN-DEPENDENT") && !yes.contains("NOT SCAN-DEPENDENT"));
    }
}
