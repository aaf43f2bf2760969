//! The page of a person: what was measured of each recording, and how it looks.

use report::render::escape;

use crate::page::{figure, page, table};

/// Everything a person's page shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PersonPage {
    /// Whose it is, as the cohort calls the person.
    pub subject: String,
    /// The name of the run.
    pub run: String,
    /// The page that lists everybody.
    pub everybody: String,
    /// Recordings that were read.
    pub recordings: Vec<RecordingView>,
    /// Recordings that were not, each with the reason.
    pub left_out: Vec<(String, String)>,
    /// What was done, in words that may be pasted into a paper.
    pub boilerplate: String,
    /// What came from what: name and value.
    pub provenance: Vec<(String, String)>,
}

/// A recording and its figures; one that cannot be drawn is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordingView {
    /// The name of its file.
    pub name: String,
    /// The steps that the series in the figures went through.
    pub after: String,
    /// What was measured: name and value.
    pub facts: Vec<(String, String)>,
    /// [`carpet`](crate::carpet).
    pub carpet: String,
    /// [`matrix`](crate::matrix).
    pub matrix: Option<String>,
    /// [`glass_brain`](crate::glass_brain) of the mean correlation of parcels.
    pub glass: Option<String>,
}

impl PersonPage {
    /// The whole page.
    pub fn html(&self) -> String {
        let (list, run) = (escape(&self.everybody), escape(&self.run));
        let mut body = format!("<p><a href=\"{list}\">All people of {run}</a></p>\n");
        if !self.left_out.is_empty() {
            body.push_str("<h2>Left out</h2>\n");
            body.push_str(&table(&self.left_out));
        }
        for recording in &self.recordings {
            body.push_str(&recording.html());
        }
        body.push_str("<h2>Methods</h2>\n<p>");
        body.push_str(&escape(&self.boilerplate));
        body.push_str("</p>\n<h2>Provenance</h2>\n");
        body.push_str(&table(&self.provenance));
        page(&format!("Subject {}", self.subject), &body)
    }
}

impl RecordingView {
    fn html(&self) -> String {
        let mut html = format!("<h2>{}</h2>\n{}", escape(&self.name), table(&self.facts));
        let after = format!(" The series are those after {}.", self.after);
        let figures = [
            (
                "Series of all parcels",
                Some(&self.carpet),
                "Each row is a parcel, each column a frame; grey runs from two standard deviations below the \
                 parcel's mean (black) to two above it (white). Good: fine grain without edges. Bad: vertical \
                 bands in many parcels at once, most of all below a peak of displacement.",
            ),
            (
                "How parcels go together",
                self.matrix.as_ref(),
                "Correlations of the series: blue −1, white 0, red 1. Good: blocks along the \
                 diagonal, both hemispheres alike. Bad: one colour everywhere (a signal that all parcels \
                 share, such as motion), or grey stripes (parcels without data).",
            ),
            (
                "Mean correlation of each parcel with the others",
                self.glass.as_ref(),
                "Points lie at the centres of parcels; larger and darker ones go more with the rest of the \
                 brain (red) or against it (blue). Good: both sides alike. Bad: one side or one pole that \
                 stands out, or points outside the outline (an atlas of another space).",
            ),
        ];
        for (title, svg, caption) in figures {
            if let Some(svg) = svg {
                html.push_str(&figure(title, svg, &(caption.to_owned() + &after)));
            }
        }
        html
    }
}

#[cfg(test)]
mod tests {
    use report::generated::DISCLAIMER;

    use super::*;

    #[test]
    fn a_page_is_whole_escapes_what_it_shows_and_fetches_nothing() {
        let page = PersonPage {
            subject: "<script>".to_owned(),
            run: "rest & task".to_owned(),
            everybody: "index.html".to_owned(),
            recordings: vec![RecordingView {
                name: "sub-01_bold.nii.gz".to_owned(),
                facts: vec![("TR".to_owned(), "2 s".to_owned())],
                carpet: "<svg></svg>".to_owned(),
                ..RecordingView::default()
            }],
            left_out: vec![("run-2".to_owned(), "file is missing".to_owned())],
            boilerplate: "Series were read.".to_owned(),
            provenance: vec![("scan".to_owned(), "abc".to_owned())],
        };
        let html = page.html();
        assert!(html.contains("Subject &lt;script&gt;") && html.contains("rest &amp; task"));
        assert!(html.contains("file is missing") && html.contains("Series of all parcels"));
        assert!(!html.contains("How parcels go together"), "what is absent has no heading");
        assert!(!html.contains("<script") && !html.contains("http") && !html.contains("url("));
        assert_eq!(html.matches(DISCLAIMER).count(), 2);
    }
}
