//! Questions that were asked about every scan.

use report::evidence::Verdict;

use crate::findings::Line;

/// A question and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct AskedQuestion {
    /// Names it.
    pub id: String,
    /// What stands before the answers.
    pub words: String,
    /// Whether the answers depend on the scan, where the truth is known.
    pub verdict: Option<Verdict>,
    /// Why there is no verdict.
    pub no_verdict: Option<String>,
    /// Allowed answers, and how often each is given.
    pub answers: Vec<(String, usize)>,
    /// What the answers are worth and how far they depend on the scan: name and value.
    pub facts: Vec<(String, String)>,
}

/// As the template shows it.
pub(crate) struct ShownQuestion<'a> {
    pub(crate) view: &'a AskedQuestion,
    pub(crate) verdict: Option<Line>,
    pub(crate) answers: String,
    pub(crate) name: String,
}

impl AskedQuestion {
    pub(crate) fn shown(&self) -> ShownQuestion<'_> {
        let answers: Vec<String> =
            self.answers.iter().map(|(answer, n)| format!("{answer} {n}")).collect();
        ShownQuestion {
            view: self,
            verdict: self.verdict.as_ref().map(Line::of),
            answers: answers.join(", "),
            name: format!("Answers to {}", self.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{AskedQuestion, CohortPage};

    #[test]
    fn answers_stand_on_the_first_page_with_their_verdict() {
        let question = AskedQuestion {
            id: "sex".to_owned(),
            words: "Sex <of> the person:".to_owned(),
            verdict: None,
            no_verdict: Some("no column says the truth".to_owned()),
            answers: vec![("male".to_owned(), 3), ("female".to_owned(), 1)],
            facts: vec![("Changed without a scan".to_owned(), "0.25".to_owned())],
        };
        let page = CohortPage { asked: vec![question], ..CohortPage::default() };
        let html = &page.pages()[0].1;
        for expected in [
            "<h2 id=\"answers\">",
            "Sex &lt;of&gt; the person:",
            "male 3, female 1",
            "no column says the truth",
            "Changed without a scan",
            "href=\"#answers\"",
        ] {
            assert!(html.contains(expected), "{expected}\n{html}");
        }
        assert!(!CohortPage::default().pages()[0].1.contains("answers"));
    }
}
